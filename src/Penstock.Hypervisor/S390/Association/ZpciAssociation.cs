using System.Collections.Concurrent;
using Penstock.Interop;
using Penstock.S390;
using Penstock.Vfio;

namespace Penstock.Hypervisor;

/// <summary>
/// Ties zPCI functions to simulated machines while their devices are open. Install it in the host's slot of <see cref="IZpciVmHook"/>. All
/// members may be called from any thread.
/// </summary>
public sealed class ZpciAssociation : IZpciVmHook
{
    private readonly ConcurrentDictionary<ZpciFunction, KvmZdev> _ties = [];

    /// <inheritdoc/>
    /// <exception cref="VfioException">
    /// EINVAL: no machine, or one of another kind or dying; the function has no zPCI side, is tied already, be it behind another device, or is
    /// interpreted for another hypervisor's machine. EIO: firmware refused to enable it for the machine.
    /// </exception>
    public void Register(ZpciVfioPciDevice device, IHypervisor machine)
    {
        ArgumentNullException.ThrowIfNull(device);
        string what = $"tying {device.Name} to a machine";
        if (machine is not SimulatedVm vm)
        {
            throw new VfioException(Errno.EINVAL, what, "there is no machine, or it is not one of this hypervisor");
        }

        if (device.Zpci is not { } function)
        {
            throw new VfioException(Errno.EINVAL, what, "it has no zPCI side");
        }

        var tie = new KvmZdev(this, device, function, vm);
        lock (tie.Gate)
        {
            if (function.Designation != 0 || !_ties.TryAdd(function, tie))
            {
                throw new VfioException(Errno.EINVAL, what, "it is tied to a machine already");
            }

            if (!vm.TryAcquire())
            {
                _ties.TryRemove(new(function, tie));
                throw new VfioException(Errno.EINVAL, what, "the machine is dying");
            }

            try
            {
                lock (vm.Zpci.Gate)
                {
                    tie.Begin(what);
                    vm.Zpci.Add(tie);
                }

                return;
            }
            catch
            {
                _ties.TryRemove(new(function, tie));

                // The device's own lease keeps the machine, so this is not its end.
                vm.Release();
                throw;
            }
        }
    }

    /// <inheritdoc/>
    public void Unregister(ZpciVfioPciDevice device)
    {
        ArgumentNullException.ThrowIfNull(device);
        if (device.Zpci is not { } function || !_ties.TryGetValue(function, out KvmZdev? tie) || tie.Device != device)
        {
            return;
        }

        lock (tie.Gate)
        {
            if (!_ties.TryRemove(new(function, tie)))
            {
                return;
            }

            lock (tie.Machine.Zpci.Gate)
            {
                tie.End();
                tie.Machine.Zpci.Remove(tie);
            }
        }

        // The device's own lease keeps the machine until after this call, so this is never its end.
        tie.Machine.Release();
    }

    internal KvmZdev? Find(ZpciFunction function) => _ties.GetValueOrDefault(function);
}
