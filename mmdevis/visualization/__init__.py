"""Drawing of results."""
