using System.Diagnostics.CodeAnalysis;
using Penstock.Interop;
using Penstock.S390;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.Hypervisor;

/// <summary>
/// Adapter event notification of one function, registered by the guest's VMM (zPCI architecture, adapter interruption forwarding): each
/// vector sets its bit in the guest's vector, and the guest is interrupted when its summary bit was clear. Firmware does that by itself,
/// or leaves it to the host. The guest's memory is pinned for as long. Delivering may happen on any thread, and waits for nobody.
/// </summary>
[SuppressMessage("Design", "CA1001:Types that own disposable fields should be disposable", Justification = "Disable ends it, and may fail.")]
public sealed class AdapterInterrupts
{
    private const int BitsOfDoubleword = 64;
    private const int Alignment = 8;
    private const int MostVectors = 0xfff;

    private readonly ZpciFunction _function;
    private readonly SimulatedVm _machine;
    private readonly AdapterForwarding _forwarding;
    private readonly PinnedGuestMemory _vector;
    private readonly PinnedGuestMemory? _summary;
    private readonly LockedPages _locked;
    private readonly ZpciFib _saved;
    private readonly int _subclass;

    /// <summary>Registers, in the order of the architecture's description; what fails undoes all before it.</summary>
    internal AdapterInterrupts(string what, KvmZdev zdev, AdapterForwarding forwarding, in AdapterInterruptRequest request, Caller caller)
    {
        _function = zdev.Function;
        _machine = zdev.Machine;
        _forwarding = forwarding;
        Gisa = _machine.Gisa ?? throw new VfioException(Errno.ENODEV, what, "the machine has no interruption state area");
        int offered = _function.Group.Interrupts == 0 ? MostVectors : _function.Group.Interrupts;
        Vectors = (int)Math.Min(request.Count, (uint)offered);
        _subclass = request.Subclass;
        int hostSubclass = Gisa.Register(_subclass);
        try
        {
            if (Vectors == 0)
            {
                throw new VfioException(Errno.EINVAL, what, "no vectors are asked for");
            }

            // Interrupts take whole doublewords of the guest's page, and only of that one.
            ulong bytes = ((ulong)(Vectors + request.VectorOffset) + BitsOfDoubleword - 1) / BitsOfDoubleword * Alignment;
            if ((request.Vector & (GuestMemory.PageSize - 1)) + bytes > GuestMemory.PageSize)
            {
                throw new VfioException(Errno.EINVAL, what, $"{Vectors} vectors at 0x{request.Vector:x} cross a page; give them a page of their own");
            }

            _vector = Pin(what, _machine, request.Vector, bytes);
            _summary = PinSummary(what, _machine, request);
            int pages = _summary is null ? 1 : 2;
            _locked = new LockedPages(_machine.Kvm.Host, caller, evenIfPrivileged: true);
            if (_locked.Charge(pages) != Errno.None)
            {
                throw new VfioException(Errno.ENOMEM, what, $"locking {pages} more pages is over the limit of user {caller.UserId}; raise RLIMIT_MEMLOCK");
            }

            _saved = RegisterWithFirmware(what, request, hostSubclass);
        }
        catch
        {
            // In reverse, as far as it came.
            _locked?.Dispose();
            Unpin(_machine, _summary);
            Unpin(_machine, _vector);
            Gisa.Unregister(_subclass);
            throw;
        }
    }

    /// <summary>How many vectors the guest has registered.</summary>
    public int Vectors { get; }

    /// <summary>Number of the function's entry and summary bit on the host.</summary>
    public int Entry { get; private set; }

    /// <summary>The entry as firmware sees it.</summary>
    public ZpciGaitEntry GaitEntry => _forwarding.Read(Entry);

    /// <summary>What was registered with firmware, with absolute addresses; kept to take it back whatever the guest does to its own.</summary>
    public ZpciFib SavedFib => _saved;

    internal Gisa Gisa { get; }

    /// <summary>Closed when the host may not forward any more.</summary>
    internal DeliveryGate Gate { get; } = new();

    internal void Deliver(int vector)
    {
        if ((uint)vector < (uint)Vectors && !Gate.IsClosed)
        {
            _function.Signal(vector);
        }
    }

    /// <summary>Takes the registration back. When it is done nothing is delivered any more, and the memory is unpinned.</summary>
    /// <param name="force">Whether it goes on when firmware refuses, since the function is about to go.</param>
    /// <returns>None; EIO: firmware refused, and without force nothing has changed.</returns>
    internal Errno Disable(bool force)
    {
        Errno errno = Deregister();
        if (errno != Errno.None && !force)
        {
            return errno;
        }

        // Whatever firmware says and thinks, nothing may reach the memory that goes now.
        _function.CutInterrupts();
        _forwarding.Remove(Entry, this);
        Unpin(_machine, _vector);
        Unpin(_machine, _summary);
        Gisa.Unregister(_subclass);
        _locked.Dispose();
        return errno;
    }

    private Errno Deregister()
    {
        ZpciAnswer answer = _function.DeregisterInterrupts();
        return answer.ConditionCode switch
        {
            // Gone, or nothing registered: what was wanted.
            ZpciConditionCode.Done or ZpciConditionCode.InvalidHandle => Errno.None,
            ZpciConditionCode.Error when answer.Status == ZpciStatus.SequenceError => Errno.None,
            _ => Errno.EIO,
        };
    }

    private ZpciFib RegisterWithFirmware(string what, in AdapterInterruptRequest request, int hostSubclass)
    {
        var entry = new ZpciGaitEntry
        {
            Designation = request.ByHost ? 0 : Gisa.Designation,
            Subclass = (byte)request.Subclass,
            SummaryOffset = (byte)(request.SummaryOffset % BitsOfDoubleword),
            SummaryAddress = _summary is null ? 0 : (ulong)_summary.HostAddress,
        };
        Entry = _forwarding.Add(what, this, entry);
        (ulong address, int offset) = _forwarding.SummaryOf(Entry);
        var fib = new ZpciFib
        {
            InterruptWord = new ZpciInterruptWord
            {
                Subclass = hostSubclass,
                Interrupts = Vectors,
                VectorOffset = request.VectorOffset,
                HasSummary = true,
                SummaryOffset = offset,
            }.Value,
            VectorAddress = (ulong)_vector.HostAddress,
            SummaryAddress = address,
            Designation = Gisa.Designation,
        };
        ZpciAnswer answer = _function.RegisterInterrupts(fib);
        if (answer.ConditionCode == ZpciConditionCode.Done)
        {
            return fib;
        }

        _forwarding.Remove(Entry, this);
        throw new VfioException(Errno.EIO, what, $"firmware answered {answer.ConditionCode}, status {(int)answer.Status}");
    }

    private static PinnedGuestMemory? PinSummary(string what, SimulatedVm machine, in AdapterInterruptRequest request)
    {
        if (request.Summary == 0)
        {
            return null;
        }

        return (request.Summary & (Alignment - 1)) == 0
            ? Pin(what, machine, request.Summary, Alignment)
            : throw new VfioException(Errno.EINVAL, what, $"the summary at 0x{request.Summary:x} is not a multiple of {Alignment}");
    }

    private static PinnedGuestMemory Pin(string what, SimulatedVm machine, ulong address, ulong length)
    {
        PinnedGuestMemory pinned;
        try
        {
            pinned = machine.Memory.Pin(address, length, write: true);
        }
        catch (VfioException missing)
        {
            throw new VfioException(Errno.EIO, what, missing.Message);
        }

        if (pinned.HostAddress == 0)
        {
            pinned.Dispose();
            throw new VfioException(Errno.EIO, what, $"the memory at guest address 0x{address:x} can only be copied, not touched by firmware");
        }

        machine.Kvm.Host.Ledger.Acquired(ResourceKind.Pin);
        return pinned;
    }

    private static void Unpin(SimulatedVm machine, PinnedGuestMemory? pinned)
    {
        if (pinned is not null)
        {
            pinned.Dispose();
            machine.Kvm.Host.Ledger.Released(ResourceKind.Pin);
        }
    }
}
