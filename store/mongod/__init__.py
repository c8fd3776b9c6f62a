"""A private mongod, where no MongoDB is configured."""
