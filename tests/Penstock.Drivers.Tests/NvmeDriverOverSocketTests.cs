namespace Penstock.Drivers.Tests;

/// <summary>The disk is served on a socket.</summary>
public sealed class NvmeDriverOverSocketTests() : NvmeDriverTests(static disk => new SocketSlot(disk));
