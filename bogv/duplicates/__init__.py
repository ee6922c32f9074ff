"""What a gallery has twice: scanning it, grouping what is found, and deleting all but one."""
