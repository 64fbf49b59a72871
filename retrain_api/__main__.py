import sys

from retrain_api.app import main

sys.exit(main())
