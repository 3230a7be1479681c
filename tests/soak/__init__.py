"""An application that publishes for a long time while its brokers come and go: `make soak`."""
