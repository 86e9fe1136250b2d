// BiasProtocol
