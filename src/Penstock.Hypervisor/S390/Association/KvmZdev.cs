using Penstock.Interop;
using Penstock.S390;
using Penstock.Specs.Kvm;
using Penstock.Vfio;

namespace Penstock.Hypervisor;

/// <summary>
/// The tie between a zPCI function and a machine, from the open of the device by the machine's user until its close. It belongs to the
/// hypervisor; the device knows nothing of it.
/// All members may be called from any thread.
/// </summary>
public sealed class KvmZdev
{
    private readonly ZpciAssociation _association;
    private AdapterInterrupts? _interrupts;
    private bool _ended;

    internal KvmZdev(ZpciAssociation association, ZpciVfioPciDevice device, ZpciFunction function, SimulatedVm machine)
    {
        _association = association;
        Device = device;
        Function = function;
        Machine = machine;
    }

    /// <summary>The device.</summary>
    public ZpciVfioPciDevice Device { get; }

    /// <summary>Its zPCI side.</summary>
    public ZpciFunction Function { get; }

    /// <summary>The machine.</summary>
    public SimulatedVm Machine { get; }

    /// <summary>Whether firmware accepts the guest's instructions for it: the function was enabled with the machine's designation.</summary>
    public bool IsInterpreted { get; private set; }

    /// <summary>The guest's registration for adapter interruptions; null while there is none.</summary>
    public AdapterInterrupts? Interrupts => Volatile.Read(ref _interrupts);

    /// <summary>Serialises what happens to the function; a machine's own lock comes after it.</summary>
    internal Lock Gate { get; } = new();

    /// <summary>Makes firmware accept the machine's instructions, if it can. Called with both locks held.</summary>
    /// <exception cref="VfioException">EIO: firmware refused; the function is the host's again.</exception>
    internal void Begin(string what)
    {
        if (Machine.Kvm.S390 is not { CanInterpret: true } hypervisor || Function.Firmware != hypervisor.Firmware)
        {
            return;
        }

        Machine.Processors.EnableInterpretation();
        if (Function.Disable() != Errno.None)
        {
            throw new VfioException(Errno.EIO, what, "firmware did not disable the function");
        }

        if (Function.Reenable(Machine.Gisa!.Designation) != Errno.None)
        {
            // As it was before, as far as firmware lets it.
            Function.Reenable(designation: 0);
            throw new VfioException(Errno.EIO, what, "firmware did not enable the function for the machine, or did not register its interrupts and tables again");
        }

        IsInterpreted = true;
    }

    /// <summary>Registers or takes back; the machine has found the function.</summary>
    internal void Operate(string what, in KvmS390ZpciOp call, Caller caller)
    {
        lock (Gate)
        {
            if (_ended)
            {
                throw _association.Find(Function) is { } now && now.Machine != Machine
                    ? new VfioException(Errno.EPERM, what, "the function is another machine's now")
                    : new VfioException(Errno.ENODEV, what, "the function was just taken from the machine");
            }

            lock (Machine.Zpci.Gate)
            {
                switch (call.Operation)
                {
                    case KvmS390ZpciOperation.RegisterAen when (call.Flags & ~KvmS390ZpciAenFlags.Host) != 0:
                        throw new VfioException(Errno.EINVAL, what, $"unknown flags 0x{(uint)call.Flags:x}");
                    case KvmS390ZpciOperation.RegisterAen:
                        Register(what, call, caller);
                        break;
                    case KvmS390ZpciOperation.DeregisterAen:
                        Deregister(what);
                        break;
                    default:
                        throw new VfioException(Errno.EINVAL, what, $"there is no operation {(byte)call.Operation}");
                }
            }
        }
    }

    /// <summary>The tie ends; what the guest has not taken back goes with it. Called with both locks held.</summary>
    internal void End()
    {
        _ended = true;
        if (!IsInterpreted)
        {
            return;
        }

        _interrupts?.Disable(force: true);
        Volatile.Write(ref _interrupts, null);
        Function.ForgetDesignation();
        if (Function.Disable() == Errno.None)
        {
            // Nobody can be told; the next one who opens the device tries again.
            Function.Reenable(designation: 0);
        }
    }

    private void Register(string what, in KvmS390ZpciOp call, Caller caller)
    {
        CheckInterpreted(what);
        if (_interrupts is not null)
        {
            throw new VfioException(Errno.EINVAL, what, "its interruptions are forwarded already");
        }

        var request = new AdapterInterruptRequest
        {
            Vector = call.InterruptVector,
            Count = call.Interrupts,
            Summary = call.SummaryBit,
            SummaryOffset = call.SummaryBitOffset,
            Subclass = call.Subclass,
            ByHost = (call.Flags & KvmS390ZpciAenFlags.Host) != 0,
        };
        Volatile.Write(ref _interrupts, new AdapterInterrupts(what, this, Machine.Kvm.S390!.Forwarding!, request, caller));
    }

    private void Deregister(string what)
    {
        CheckInterpreted(what);
        Errno errno = _interrupts?.Disable(force: false) ?? Errno.None;
        if (errno != Errno.None)
        {
            throw new VfioException(errno, what, "firmware did not deregister the interrupts; they are still forwarded");
        }

        Volatile.Write(ref _interrupts, null);
    }

    private void CheckInterpreted(string what)
    {
        if (!IsInterpreted)
        {
            throw new VfioException(Errno.EINVAL, what, "the function is not interpreted; its interrupts are the VMM's");
        }
    }
}
