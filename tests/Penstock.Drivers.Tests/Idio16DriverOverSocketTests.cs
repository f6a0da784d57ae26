namespace Penstock.Drivers.Tests;

/// <summary>The card is served on a socket.</summary>
public sealed class Idio16DriverOverSocketTests() : Idio16DriverTests(static card => new SocketSlot(card));
