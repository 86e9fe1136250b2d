// USB
