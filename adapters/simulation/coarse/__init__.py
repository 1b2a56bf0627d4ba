"""The same episodes in steps of seconds with depth curves instead of orders, for statistics over thousands of them."""
