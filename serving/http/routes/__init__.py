"""One module for each family of endpoints; each makes a router from the parts it needs."""
