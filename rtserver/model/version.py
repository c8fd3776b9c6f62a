"""The version of rtserver, as packages, records and documents of the interface name it."""

VERSION = "0.1.0"
