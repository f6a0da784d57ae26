using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using Penstock.Interop;
using Penstock.Specs.Nvme;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.Drivers;

/// <summary>
/// How doorbells reach the controller: through a mapping of their page, else through shadow doorbells and a register write where the controller
/// asks for one, else by a register write each. Doorbells of one queue are written by one thread at a time. Allocates nothing.
/// </summary>
internal sealed unsafe class NvmeDoorbells : IDisposable
{
    private const ulong Page = NvmeLimits.PageSize;

    private readonly AssignedDevice _device;
    private readonly ulong _stride;
    private readonly VfioRegionMapping? _mapping;

    /// <summary>Two pages: shadow doorbells, then what the controller wants to be told of; 0 without. Changes while queues of users are in use.</summary>
    private nint _shadow;

    internal NvmeDoorbells(AssignedDevice device, int strideShift, bool map)
    {
        _device = device;
        _stride = (ulong)NvmeRegisters.DoorbellSize << strideShift;
        VfioRegionInfo info = device.File.GetRegionInfo(NvmePci.RegistersBar);
        if (map && (info.Flags & VfioRegionFlags.Mmap) != 0 && Covers(info))
        {
            _mapping = device.File.Map(NvmePci.RegistersBar, NvmeRegisters.Doorbells, Page);
        }
    }

    internal bool AreMapped => _mapping is not null;

    internal bool AreShadowed => Volatile.Read(ref _shadow) != 0;

    public void Dispose() => _mapping?.Dispose();

    /// <summary>Shadow doorbells from now on, or none: two pages, both zero, which stay as long as the doorbells.</summary>
    internal void UseShadow(byte* pages) => Volatile.Write(ref _shadow, (nint)pages);

    internal Errno WriteTail(int queue, uint tail) => Write(queue, 2 * queue, tail);

    internal Errno WriteHead(int queue, uint head) => Write(queue, (2 * queue) + 1, head);

    private Errno Write(int queue, int index, uint value)
    {
        // Doorbells past the page, of many queues or a wide stride, are registers only.
        ulong offset = (ulong)index * _stride;
        if (_mapping is not null && offset < Page)
        {
            using RegionAccess access = _mapping.Enter();
            Span<byte> page = access.Bytes;
            if (page.IsEmpty)
            {
                return Errno.EFAULT;
            }

            // Release: what the doorbell announces is in memory before it.
            Volatile.Write(ref Unsafe.As<byte, uint>(ref page[(int)offset]), value);
            return Errno.None;
        }

        // The admin queue has no shadow.
        nint shadow = Volatile.Read(ref _shadow);
        return shadow != 0 && queue != 0 && offset < Page && !MustTell((byte*)shadow + offset, value) ? Errno.None : WriteRegister(offset, value);
    }

    /// <summary>Writes a shadow doorbell, then looks whether the controller has gone to sleep before this value.</summary>
    private static bool MustTell(byte* place, uint value)
    {
        // SAFETY: the place is in the first of two pages, and its wish at the same place of the second.
        uint* shadow = (uint*)place;
        uint old = *shadow;
        Volatile.Write(ref *shadow, value);

        // Either the controller sees the value before it sleeps, or its wish is seen here.
        Interlocked.MemoryBarrier();
        uint wish = Volatile.Read(ref *(uint*)(place + Page));
        return (ushort)(value - wish - 1) < (ushort)(value - old);
    }

    private Errno WriteRegister(ulong offset, uint value)
    {
        Span<byte> data = stackalloc byte[sizeof(uint)];
        BinaryPrimitives.WriteUInt32LittleEndian(data, value);
        Interlocked.MemoryBarrier();
        return _device.File.Write(NvmePci.RegistersBar, NvmeRegisters.Doorbells + offset, data, out _);
    }

    private static bool Covers(VfioRegionInfo info) => info.MappableAreas is not { } areas
        ? info.Size >= NvmeRegisters.Doorbells + Page
        : areas.Any(static a => a.Offset <= NvmeRegisters.Doorbells && NvmeRegisters.Doorbells + Page - a.Offset <= a.Size);
}
