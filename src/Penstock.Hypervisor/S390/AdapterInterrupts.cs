using Penstock.Interop;
using Penstock.Specs.Kvm;
using Penstock.Vfio;

namespace Penstock.Hypervisor;

/// <summary>
/// Adapter event notification of one function, registered by the guest's VMM (zPCI architecture, adapter interruption forwarding): each
/// vector sets its bit in the guest's vector, and the guest is interrupted when its summary bit was clear. Firmware does that by itself,
/// or the host is asked to. The guest's memory is pinned for as long. Delivering may happen on any thread, and waits for nobody.
/// </summary>
public sealed class AdapterInterrupts : IDisposable
{
    private const int BitsOfByte = 8;
    private const int MostVectors = 2048;
    private const int VectorAlignment = 8;

    private readonly Lock _gate = new();
    private readonly Gisa _gisa;
    private readonly PinnedGuestMemory _vectors;
    private readonly PinnedGuestMemory? _summary;
    private readonly byte _summaryMask;
    private readonly int _subclass;
    private readonly bool _byHost;
    private bool _ended;

    internal AdapterInterrupts(string what, SimulatedVm machine, in KvmS390ZpciOp call)
    {
        if (call.Subclass >= Gisa.Subclasses)
        {
            throw new VfioException(Errno.ERANGE, what, $"interruption subclass {call.Subclass} is above {Gisa.Subclasses - 1}");
        }

        Vectors = (int)Math.Min(call.Interrupts, MostVectors);
        ulong bytes = ((ulong)Vectors + (VectorAlignment * BitsOfByte) - 1) / (VectorAlignment * BitsOfByte) * VectorAlignment;
        if (Vectors == 0 || (call.InterruptVector & (GuestMemory.PageSize - 1)) + bytes > GuestMemory.PageSize)
        {
            throw new VfioException(Errno.EINVAL, what, $"{Vectors} vectors at 0x{call.InterruptVector:x} are none, or cross a page");
        }

        if ((call.SummaryBit & (VectorAlignment - 1)) != 0)
        {
            throw new VfioException(Errno.EINVAL, what, $"the summary at 0x{call.SummaryBit:x} is not a multiple of {VectorAlignment}");
        }

        _gisa = machine.Gisa;
        _subclass = call.Subclass;
        _byHost = (call.Flags & KvmS390ZpciAenFlags.Host) != 0;
        _vectors = Pin(what, machine, call.InterruptVector, bytes);
        if (call.SummaryBit != 0)
        {
            try
            {
                _summary = Pin(what, machine, call.SummaryBit + (ulong)(call.SummaryBitOffset / BitsOfByte), 1);
            }
            catch
            {
                _vectors.Dispose();
                throw;
            }

            _summaryMask = MaskOf(call.SummaryBitOffset);
        }
    }

    /// <summary>How many vectors the guest has registered.</summary>
    public int Vectors { get; }

    /// <summary>Unpins the guest's memory; when this returns nothing is delivered any more.</summary>
    public void Dispose()
    {
        lock (_gate)
        {
            if (_ended)
            {
                return;
            }

            _ended = true;
        }

        _vectors.Dispose();
        _summary?.Dispose();
    }

    internal void Deliver(int vector)
    {
        if ((uint)vector >= (uint)Vectors)
        {
            return;
        }

        lock (_gate)
        {
            if (_ended)
            {
                return;
            }

            SetBit(_vectors, (ulong)(vector / BitsOfByte), MaskOf(vector));
            if (_summary is null || !SetBit(_summary, 0, _summaryMask))
            {
                _gisa.Post(_subclass, _byHost);
            }
        }
    }

    private static byte MaskOf(int bit) => (byte)(0x80 >> (bit % BitsOfByte));

    private static PinnedGuestMemory Pin(string what, SimulatedVm machine, ulong address, ulong length)
    {
        try
        {
            return machine.Memory.Pin(address, length, write: true);
        }
        catch (VfioException missing)
        {
            throw new VfioException(Errno.EIO, what, missing.Message);
        }
    }

    /// <summary>Sets a bit that the guest may clear at the same moment; says whether it was set.</summary>
    private static unsafe bool SetBit(PinnedGuestMemory memory, ulong offset, byte mask)
    {
        if (memory.HostAddress != 0)
        {
            // SAFETY: pinned, and the offset is inside; the word around a byte is in the same page.
            nint address = memory.HostAddress + (nint)offset;
            int shift = (int)(address & 3) * BitsOfByte;
            uint wanted = (uint)mask << (BitConverter.IsLittleEndian ? shift : 24 - shift);
            return (Interlocked.Or(ref *(uint*)(address & ~3), wanted) & wanted) != 0;
        }

        byte value = 0;
        memory.Memory.Read(memory.Offset + offset, new Span<byte>(ref value));
        memory.Memory.Write(memory.Offset + offset, [(byte)(value | mask)]);
        return (value & mask) != 0;
    }
}
