using System.Buffers.Binary;
using Penstock.Interop;
using Penstock.S390;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.Hypervisor;

/// <summary>
/// The guest information block: where firmware lists the areas of machines that have something pending and run nowhere. The list is cut by one
/// exchange and worked off by whoever handles the interruption; that takes no lock and allocates nothing.
/// </summary>
internal sealed unsafe class Gib : IDisposable
{
    private readonly ZpciFirmware _firmware;
    private readonly Gisa?[] _areas = new Gisa?[HostStorage.Length / ZpciGisa.Alignment];
    private readonly uint _address;
    private readonly nint _origin;
    private long _passes;

    public Gib(ZpciFirmware firmware, int subclass)
    {
        _firmware = firmware;
        _address = firmware.Storage.Allocate(ZpciGib.Length, ZpciGib.Length);
        _origin = firmware.Storage.Resolve(_address);
        new ZpciGib { Subclass = (byte)subclass }.Write(firmware.Storage.Bytes(_address, ZpciGib.Length));
        if (!firmware.SetGuestInterruptionBlock(_address))
        {
            firmware.Storage.Free(_address, ZpciGib.Length);
            throw new VfioException(Errno.EBUSY, "setting the guest information block", "another hypervisor is loaded on the host");
        }
    }

    public long Passes => Interlocked.Read(ref _passes);

    public void Add(Gisa gisa) => Volatile.Write(ref _areas[gisa.Designation / ZpciGisa.Alignment], gisa);

    public void Remove(Gisa gisa) => Volatile.Write(ref _areas[gisa.Designation / ZpciGisa.Alignment], null);

    /// <summary>
    /// Works the list off. While it does, firmware adds to the list without an interruption; the last pass, which finds that nothing was added, lets
    /// interruptions come again.
    /// </summary>
    public void Process()
    {
        uint origin = 0;
        bool isLast;
        do
        {
            isLast = (origin & ZpciGib.None) != 0;
            origin = Cut(isLast ? 0 : ZpciGib.None);
            Interlocked.Increment(ref _passes);
            while ((origin & ~(uint)(ZpciGisa.Alignment - 1)) != 0)
            {
                Gisa gisa = Volatile.Read(ref _areas[origin / ZpciGisa.Alignment])!;
                origin = gisa.Unlink();
                gisa.Kick();
            }
        }
        while (!isLast);
    }

    public void Dispose()
    {
        _firmware.SetGuestInterruptionBlock(0);
        _firmware.Storage.Free(_address, ZpciGib.Length);
    }

    private uint Cut(uint origin)
    {
        // SAFETY: the block is this object's until disposed.
        uint old = Interlocked.Exchange(ref *(uint*)_origin, FromStorage(origin));
        return FromStorage(old);
    }

    private static uint FromStorage(uint value) => BitConverter.IsLittleEndian ? BinaryPrimitives.ReverseEndianness(value) : value;
}
