"""A face driven by another: from what the user names to the pictures that are written."""
