namespace Penstock.Drivers.Tests;

/// <summary>The card is a model in this process.</summary>
public sealed class Idio16DriverInProcessTests() : Idio16DriverTests(static card => new InProcessSlot(card));
