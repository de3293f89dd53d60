"""Where photos and metadata come from: S3, a folder, or bins drawn on demand."""
