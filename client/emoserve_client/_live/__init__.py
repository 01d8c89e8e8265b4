"""What `emoserve live` is made of: where moments come from, and the board that shows them."""
