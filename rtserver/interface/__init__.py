"""What other systems are told of the interface: AsyncAPI, event frames, snapshots."""
