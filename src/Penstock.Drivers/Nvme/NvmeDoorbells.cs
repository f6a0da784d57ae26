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
    private byte* _shadow;
    private byte* _events;

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

    internal bool AreShadowed => _shadow != null;

    public void Dispose() => _mapping?.Dispose();

    /// <summary>Shadow doorbells from now on, or none: both pages are zero.</summary>
    internal void UseShadow(byte* shadow, byte* events)
    {
        _shadow = shadow;
        _events = events;
    }

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
        return _shadow != null && queue != 0 && offset < Page && !MustTell(offset, value) ? Errno.None : WriteRegister(offset, value);
    }

    /// <summary>Writes a shadow doorbell, then looks whether the controller has gone to sleep before this value.</summary>
    private bool MustTell(ulong offset, uint value)
    {
        // SAFETY: the offset is inside both pages.
        uint* shadow = (uint*)(_shadow + offset);
        uint old = *shadow;
        Volatile.Write(ref *shadow, value);

        // Either the controller sees the value before it sleeps, or its wish is seen here.
        Interlocked.MemoryBarrier();
        uint wish = Volatile.Read(ref *(uint*)(_events + offset));
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
