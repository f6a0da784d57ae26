namespace Penstock.Drivers.Tests;

/// <summary>The disk is a model in this process.</summary>
public sealed class NvmeDriverInProcessTests() : NvmeDriverTests(static disk => new InProcessSlot(disk));
