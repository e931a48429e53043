"""How soon the pages are there, with a long past behind them."""
