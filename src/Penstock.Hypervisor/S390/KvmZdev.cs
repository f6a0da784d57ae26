using Penstock.Interop;
using Penstock.Pci;
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
    private readonly Lock _gate = new();
    private AdapterInterrupts? _interrupts;
    private bool _ended;

    internal KvmZdev(ZpciVfioPciDevice device, ZpciFunction function, SimulatedVm machine, bool isInterpreted)
    {
        Device = device;
        Function = function;
        Machine = machine;
        IsInterpreted = isInterpreted;
    }

    /// <summary>The device.</summary>
    public ZpciVfioPciDevice Device { get; }

    /// <summary>Its zPCI side.</summary>
    public ZpciFunction Function { get; }

    /// <summary>The machine.</summary>
    public SimulatedVm Machine { get; }

    /// <summary>Whether firmware accepts the guest's instructions for it: the function was enabled with the machine's designation.</summary>
    public bool IsInterpreted { get; }

    /// <summary>The guest's registration for adapter interruptions; null while there is none.</summary>
    public AdapterInterrupts? Interrupts => Volatile.Read(ref _interrupts);

    /// <summary>Registers or takes back; the machine has found the function and looked at the operation.</summary>
    internal void Operate(string what, in KvmS390ZpciOp call)
    {
        lock (_gate)
        {
            if (!IsInterpreted || _ended)
            {
                throw new VfioException(Errno.EINVAL, what, "the function is not interpreted; its interrupts are the VMM's");
            }

            bool register = call.Operation == KvmS390ZpciOperation.RegisterAen;
            if (register == (_interrupts is not null))
            {
                throw new VfioException(Errno.EINVAL, what, register ? "it is registered already" : "it is not registered");
            }

            AdapterInterrupts? before = _interrupts;
            Volatile.Write(ref _interrupts, register ? new AdapterInterrupts(what, Machine, call) : null);
            before?.Dispose();
        }
    }

    /// <summary>The tie ends; what the guest has not taken back goes with it.</summary>
    internal void End()
    {
        lock (_gate)
        {
            _ended = true;
            _interrupts?.Dispose();
            Volatile.Write(ref _interrupts, null);
        }
    }
}
