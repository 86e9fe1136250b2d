// HolderDriver
