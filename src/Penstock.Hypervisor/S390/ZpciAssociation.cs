using Penstock.Interop;
using Penstock.Pci;
using Penstock.S390;
using Penstock.Vfio;

namespace Penstock.Hypervisor;

/// <summary>
/// Ties zPCI functions to simulated machines while their devices are open. Install it in the host's slot of <see cref="IZpciVmHook"/>. All
/// members may be called from any thread.
/// </summary>
public sealed class ZpciAssociation : IZpciVmHook
{
    private readonly Lock _gate = new();
    private readonly Dictionary<ZpciFunction, KvmZdev> _ties = [];

    /// <inheritdoc/>
    /// <exception cref="VfioException">
    /// EINVAL: its function is tied already, be it behind another device or interpreted for another hypervisor's machine; it has no zPCI side;
    /// the machine is of another kind or dying.
    /// </exception>
    public void Register(ZpciVfioPciDevice device, IHypervisor machine)
    {
        ArgumentNullException.ThrowIfNull(device);
        string what = $"tying {device.Name} to a machine";
        if (machine is not SimulatedVm vm)
        {
            throw new VfioException(Errno.EINVAL, what, "the machine is not one of this hypervisor");
        }

        lock (_gate)
        {
            if (device.Zpci is not { } function || _ties.ContainsKey(function) || function.Designation != 0)
            {
                throw new VfioException(Errno.EINVAL, what, "it has no zPCI side, or is tied to a machine already");
            }

            if (!vm.TryAcquire())
            {
                throw new VfioException(Errno.EINVAL, what, "the machine is dying");
            }

            // A function that is served by firmware for a machine is enabled anew, and with that gets a new handle.
            bool interpreted = vm.Options.ZpciDesignation != 0;
            if (interpreted)
            {
                function.Disable();
                function.Enable(vm.Options.ZpciDesignation);
            }

            var tie = new KvmZdev(device, function, vm, interpreted);
            _ties.Add(function, tie);
            vm.Zpci.Add(tie);
        }
    }

    /// <inheritdoc/>
    public void Unregister(ZpciVfioPciDevice device)
    {
        ArgumentNullException.ThrowIfNull(device);
        KvmZdev? tie;
        lock (_gate)
        {
            if (device.Zpci is not { } function || !_ties.TryGetValue(function, out tie) || tie.Device != device)
            {
                return;
            }

            _ties.Remove(function);

            tie.Machine.Zpci.Remove(tie);
            tie.End();
            if (tie.IsInterpreted)
            {
                tie.Function.Disable();
                tie.Function.Enable(designation: 0);
            }
        }

        // The device's own lease keeps the machine until after this call, so this is never its end.
        tie.Machine.Release();
    }
}
