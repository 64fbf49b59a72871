"""What is measured, under which names, and how it is counted."""
