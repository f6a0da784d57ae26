using System.Runtime.InteropServices;
using Penstock.Specs.Nvme;

namespace Penstock.Devices.Tests;

/// <summary>Shadow doorbells as a host keeps them.</summary>
internal sealed class NvmeShadow
{
    private readonly NvmeRig _rig;
    private readonly ulong _shadow;
    private readonly ulong _events;

    internal NvmeShadow(NvmeRig rig, ulong? pages = null)
    {
        _rig = rig;
        _shadow = pages ?? rig.Pages(2);
        _events = _shadow + NvmeRig.Page;
        rig.AdminOk(new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.DoorbellBufferConfig, Prp1 = _shadow, Prp2 = _events });
    }

    /// <summary>How often a register was written.</summary>
    internal int Rings { get; private set; }

    internal void Use(NvmeHostQueue queue)
    {
        queue.RingTail = tail => Ring(2 * queue.Id, tail);
        queue.CompletionRing.RingHead = head => Ring((2 * queue.CompletionRing.Id) + 1, head);
    }

    internal uint Value(int index) => At(_shadow, index);

    internal void Set(int index, uint value) => At(_shadow, index) = value;

    private ref uint At(ulong page, int index) => ref MemoryMarshal.Cast<byte, uint>(_rig.At(page, NvmeRig.Page))[index];

    private void Ring(int index, uint value)
    {
        uint old = At(_shadow, index);
        Volatile.Write(ref At(_shadow, index), value);
        Interlocked.MemoryBarrier();
        uint wanted = Volatile.Read(ref At(_events, index));
        if ((ushort)(value - wanted - 1) < (ushort)(value - old))
        {
            Rings++;
            _rig.Write32(NvmeRegisters.Doorbells + (ulong)(index * NvmeRegisters.DoorbellSize), value);
        }
    }
}
