using Penstock.Vfio;

namespace Penstock.Testing;

/// <summary>One thing that a hostile user does; the numbers mean what the kind says, and mean the same whenever it is done again.</summary>
internal readonly record struct HostileStep(HostileStepKind Kind, int Region = 0, ulong Offset = 0, ulong Value = 0, int Width = 0)
{
    /// <summary>In the width of a map: the access, and above it the kind of memory.</summary>
    private const int MemoryKindShift = 2;

    /// <summary>What devices may do with the memory of a map.</summary>
    internal DmaAccess MapAccess => (DmaAccess)Width & DmaAccess.ReadWrite;

    /// <summary>What kind of memory is mapped.</summary>
    internal TestMemoryKind MapMemory => (TestMemoryKind)(Width >> MemoryKindShift);

    internal static HostileStep Map(ulong iova, ulong size, DmaAccess access, TestMemoryKind memory) =>
        new(HostileStepKind.Map, 0, iova, size, (int)access | ((int)memory << MemoryKindShift));

    public override string ToString() => Kind switch
    {
        HostileStepKind.ReadBar => $"read {Width} bytes of BAR {Region} at 0x{Offset:x}",
        HostileStepKind.WriteBar => $"write 0x{Value:x}, {Width} bytes, to BAR {Region} at 0x{Offset:x}",
        HostileStepKind.FillBar => $"write {Width} random bytes (seed {Value}) to BAR {Region} at 0x{Offset:x}",
        HostileStepKind.ReadConfig => $"read {Width} bytes of configuration space at 0x{Offset:x}",
        HostileStepKind.WriteConfig => $"write 0x{Value:x}, {Width} bytes, to configuration space at 0x{Offset:x}",
        HostileStepKind.SetCommand => $"set the command register to 0x{Value:x}",
        HostileStepKind.Reset => "reset the device",
        HostileStepKind.Reopen => "close the device and open it again",
        HostileStepKind.Map => $"map 0x{Value:x} bytes at 0x{Offset:x}: {MapAccess}, {MapMemory}",
        HostileStepKind.Unmap => $"unmap map {Region}, counted over those that there are",
        HostileStepKind.Scribble => $"fill {Width} bytes of map {Region} at 0x{Offset:x} with random bytes (seed {Value})",
        HostileStepKind.Poke => $"write 0x{Value:x} to map {Region} at 0x{Offset:x}",
        HostileStepKind.BindInterrupts => $"bind {Width} vectors of interrupt index {Region}",
        HostileStepKind.DropInterrupts => "take the interrupts away",
        HostileStepKind.ActOnInterrupt => $"interrupt index {Region}, vector {Offset}: flags 0x{Value:x}",
        HostileStepKind.Migrate => $"migration state {Value}",
        _ => $"{Kind}",
    };
}
