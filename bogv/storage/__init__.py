"""What a gallery is kept in: Milvus, thumbnails, the intent log."""
