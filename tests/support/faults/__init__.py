"""What fails while events are published, and the account of what became of them."""
