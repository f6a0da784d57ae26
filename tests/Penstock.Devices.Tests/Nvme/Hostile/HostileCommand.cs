using Penstock.Specs.Nvme;

namespace Penstock.Devices.Tests;

/// <summary>A command of the hostile host with what may come of it.</summary>
internal sealed class HostileCommand
{
    public required NvmeCommand Command { get; init; }

    public required int Slot { get; init; }

    /// <summary>What is wrong with it: any of these may be answered. Empty: it must succeed, or fail its comparison.</summary>
    public HashSet<NvmeStatus> Wrong { get; } = [];

    /// <summary>Where its data is, as far as the naive walk came.</summary>
    public List<(ulong Address, int Length)> Segments { get; } = [];

    public override string ToString() =>
        $"opcode 0x{Command.Opcode:x2} flags 0x{(int)Command.Flags:x2} namespace 0x{Command.NamespaceId:x} block 0x{Command.StartingLba:x} dword 12 0x{Command.Cdw12:x} dword 10 0x{Command.Cdw10:x} 11 0x{Command.Cdw11:x} PRPs 0x{Command.Prp1:x} 0x{Command.Prp2:x}";
}
