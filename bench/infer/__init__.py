"""How well `init` tells what a CSV file is, and how long it takes, beside other sniffers."""
