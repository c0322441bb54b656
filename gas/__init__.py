"""Gas: what instructions cost, where they are charged, and the account a frame keeps."""
