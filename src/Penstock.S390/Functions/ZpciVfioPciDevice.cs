using Penstock.Interop;
using Penstock.Pci;
using Penstock.Specs.Vfio;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.S390;

/// <summary>
/// A PCI function of an s390 machine. Opened by the user of a virtual machine, it is registered with the hypervisor part for as long as it
/// is open; opened by anybody else it works without one.
/// </summary>
public class ZpciVfioPciDevice : VfioPciCoreDevice
{
    private readonly ZpciErrorQueue _errors = new();
    private readonly bool _registers;
    private readonly Action<string>? _log;
    private HookUse<IZpciVmHook>? _use;

    /// <summary>Makes a device of a function.</summary>
    /// <param name="name">Name by which users open it: <c>dddd:bb:dd.f</c>.</param>
    /// <param name="function">The hardware.</param>
    /// <param name="group">The IOMMU group that the function's DMA goes through.</param>
    /// <param name="zpci">The zPCI side of the function; null when it has none.</param>
    /// <param name="registersWithMachines">
    /// Whether it is tied to machines at all; without, it opens as on a platform whose hypervisor part was never built.
    /// </param>
    /// <param name="log">As for <see cref="VfioPciCoreDevice"/>.</param>
    public ZpciVfioPciDevice(
        string name,
        IPciFunction function,
        IommuGroup group,
        ZpciFunction? zpci,
        bool registersWithMachines = true,
        Action<string>? log = null)
        : base(name, function, group, log)
    {
        Zpci = zpci;
        _registers = registersWithMachines;
        _log = log ?? group.Unit.Host.Options.Log;
    }

    /// <summary>The zPCI side of the function; null when it has none.</summary>
    public ZpciFunction? Zpci { get; }

    /// <summary>Whether it is registered with a machine.</summary>
    public bool IsRegistered => Volatile.Read(ref _use) is not null;

    /// <summary>
    /// The platform found the function in error. While a user has the device open the event is kept, the user is told by its error eventfd,
    /// and recovery is the user's. May be called from any thread.
    /// </summary>
    /// <param name="errorEvent">The event, of <see cref="ZpciErrorEventBlock.Length"/> bytes.</param>
    /// <returns>Whether recovery is the user's; otherwise it is the host's.</returns>
    public bool ReportError(ReadOnlySpan<byte> errorEvent)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(errorEvent.Length, ZpciErrorEventBlock.Length);
        if (!_errors.TryStore(errorEvent, out bool warns))
        {
            return false;
        }

        if (warns)
        {
            _log?.Invoke($"{Name}: the user takes no error events; further ones are dropped");
        }

        SignalError();
        return true;
    }

    /// <inheritdoc/>
    protected override void Feature(in VfioFeatureRequest request)
    {
        if (request.Feature != VfioFeature.ZpciError)
        {
            base.Feature(request);
            return;
        }

        if (Zpci is null)
        {
            throw new VfioException(Errno.ENODEV, request.What, "the function is no zPCI function");
        }

        if (!request.Proceed(VfioFeatureFlags.Get, sizeof(ulong)))
        {
            return;
        }

        ulong address = request.Take<ulong>();
        if (address == 0)
        {
            throw new VfioException(Errno.EINVAL, request.What, "there is no buffer for the event");
        }

        _errors.Take(request.What, request.Memory, address);
    }

    /// <inheritdoc/>
    protected override VfioDeviceInfo GetInfo() =>
        Zpci is { } function ? base.GetInfo() with { Capabilities = ZpciInfo.CapabilitiesOf(function) } : base.GetInfo();

    /// <inheritdoc/>
    protected override void EnablePlatform()
    {
        if (Zpci is null)
        {
            Register();
            return;
        }

        _errors.Start();
        try
        {
            Register();
        }
        catch
        {
            _errors.Stop();
            throw;
        }
    }

    /// <inheritdoc/>
    protected override void DisablePlatform()
    {
        if (Interlocked.Exchange(ref _use, null) is { } use)
        {
            use.Hook.Unregister(this);
            use.Dispose();
        }

        _errors.Stop();
    }

    private void Register()
    {
        if (!_registers)
        {
            return;
        }

        string what = $"opening {Name}";
        if (Zpci is null)
        {
            throw new VfioException(Errno.ENODEV, what, "the function is no zPCI function");
        }

        if (Hypervisor is not { } machine)
        {
            return;
        }

        HookUse<IZpciVmHook> use = Group!.Unit.Host.Slot<IZpciVmHook>().TryUse()
            ?? throw new VfioException(Errno.ENOENT, what, "it has a machine, but no hypervisor part for zPCI is installed");
        try
        {
            use.Hook.Register(this, machine);
        }
        catch
        {
            use.Dispose();
            throw;
        }

        Volatile.Write(ref _use, use);
    }
}
