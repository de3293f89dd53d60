"""What is known of a bin without its photo: metadata, the split it is in, its contents."""
