using Penstock.Specs.Kvm;

namespace Penstock.Hypervisor;

/// <summary>Which writes of a guest an eventfd is told of.</summary>
/// <param name="Space">The space.</param>
/// <param name="Address">The address, exactly.</param>
/// <param name="Width">Width of the write in bytes: 1, 2, 4 or 8; 0 for any.</param>
/// <param name="Value">The value, compared at that width; null for any.</param>
public readonly record struct IoMatch(IoSpace Space, ulong Address, uint Width, ulong? Value = null)
{
    internal static IoMatch Of(in KvmIoEventfd call) => new(
        (call.Flags & KvmIoEventfdFlags.Pio) != 0 ? IoSpace.Port
            : (call.Flags & KvmIoEventfdFlags.VirtioCcw) != 0 ? IoSpace.VirtioCcw
            : IoSpace.Memory,
        call.Address,
        call.Length,
        (call.Flags & KvmIoEventfdFlags.DataMatch) != 0 ? call.DataMatch : null);

    /// <summary>Whether two could both be meant by a write, so that only one of them can be there.</summary>
    internal bool CollidesWith(IoMatch other) =>
        Space == other.Space && Address == other.Address
        && (Width == 0 || other.Width == 0 || (Width == other.Width && (Value is null || other.Value is null || Value == other.Value)));

    internal bool Hits(IoSpace space, ulong address, uint width, ulong value) =>
        Space == space && Address == address
        && (Width == 0 || (Width == width && (Value is not { } wanted || (wanted & MaskOf(width)) == (value & MaskOf(width)))));

    private static ulong MaskOf(uint width) => width >= sizeof(ulong) ? ulong.MaxValue : (1UL << (int)(8 * width)) - 1;
}
