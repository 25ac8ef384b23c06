"""Growing spiking networks on CIFAR-100: ALADE-SNN, its parts one by one, and weight alignment."""
