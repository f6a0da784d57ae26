using Penstock.Interop;
using Penstock.S390;
using Penstock.Specs.Vfio;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.Hypervisor;

/// <content>Plugging functions in.</content>
public sealed partial class ZpciBus
{
    // As many mappings as Linux's containers take, and several for each page of the guest's.
    private const long LeastBudget = 1 << 16;
    private const long BudgetFactor = 4;
    private const long LeastLooks = 1 << 20;

    /// <summary>Plugs a device in.</summary>
    /// <param name="file">The open device; the function becomes its owner, unless this fails.</param>
    /// <param name="options">How; null for the usual way.</param>
    /// <returns>The function.</returns>
    /// <exception cref="VfioException">
    /// EINVAL: an id is in use, the device has no MSI-X and is not interpreted, or the index of an interpreted function is in use; EPERM: the host's
    /// handle cannot be had; ENOSPC: there are as many functions as can be; EBADF: the bus is disposed.
    /// </exception>
    public ZpciGuestFunction Plug(VfioDeviceFile file, ZpciFunctionOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(file);
        options ??= new ZpciFunctionOptions();
        string what = $"plugging {file.Name} into a guest";
        var device = new ZpciDeviceSide(file, Machine.Kvm.Host, Log);
        lock (_gate)
        {
            if (_disposed || _functions.Length >= ZpciLimits.MaximumFunctions)
            {
                throw new VfioException(_disposed ? Errno.EBADF : Errno.ENOSPC, what, _disposed ? "the bus is gone" : $"the guest has {_functions.Length} functions");
            }

            uint functionId = FreeId(what, "function id", options.FunctionId, 0, static f => f.FunctionId);
            uint userId = FreeId(what, "user-defined id", options.UserId, 1, static f => f.UserId);
            if (userId is 0 or > ushort.MaxValue)
            {
                throw new VfioException(Errno.EINVAL, what, $"{userId} is no user-defined id");
            }

            uint handle = HandleOf(what, device, options);
            if (!device.HasMsix && !device.IsInterpreted)
            {
                throw new VfioException(Errno.EINVAL, what, "it has no MSI-X, which functions of this architecture need");
            }

            // Before the group is chosen: part of a group is whether its functions may do without tables.
            device.HasRelaxedTranslation = options.RelaxedTranslation && device.Info is { } known
                && known.Base.FunctionType != ZpciClpQueryFunctionResponse.IsmFunction;
            var function = new ZpciGuestFunction(this, device, options, functionId, (ushort)userId)
            {
                Group = device.Info is { } info ? _groups.Of(info, device.IsInterpreted, device.HasRelaxedTranslation) : _groups.Default,
            };
            JoinLimit(device, options.Container);
            SetWindow(function, device, options.Container);
            Add(function, handle);
            function.SetMode(options.Mode ?? ModeFor(function, file));
            return function;
        }
    }

    /// <summary>What carries mappings out that are a function's own.</summary>
    internal IDmaNotifier NotifierOf(ZpciGuestFunction function) =>
        function.Options.Container is { } container ? new ContainerNotifier(Machine.Memory, container) : new NoNotifier();

    /// <summary>What the host nests for the device's group, where it does; the VMM's own way otherwise, and for tables that cannot be nested.</summary>
    private NegotiatedRefresh ModeFor(ZpciGuestFunction function, VfioDeviceFile file) => new(FallbackFor(function))
    {
        Preferred = file.Group is { } group ? function.Options.Nesting?.Find(group) : null,
    };

    private FallbackRefresh<TableWalker<GuestTableReader>> FallbackFor(ZpciGuestFunction function) => new(
        new TableWalker<GuestTableReader>(new GuestTableReader(Machine.Memory)), NotifierOf(function), LimitOf(function)?.Budget ?? NewBudget(), NewOptions());

    /// <summary>
    /// Where no container has a limit: a guest's tables may share tables below them, and then map any number of pages with little memory; what is
    /// remembered of them must not grow past what a guest has a use for.
    /// </summary>
    private DmaBudget NewBudget() =>
        new(Math.Max(LeastBudget, Machine.Memory.Slots.Sum(static s => (long)(s.Length / ZpciIoTable.PageSize)) * BudgetFactor));

    /// <summary>
    /// All of the guest's memory can be tables, looked at once as entries and once as pages: whoever has more to look at uses a table several times.
    /// </summary>
    private FallbackOptions NewOptions()
    {
        var defaults = new FallbackOptions();
        long entries = Machine.Memory.Slots.Sum(static s => (long)(s.Length / ZpciIoTable.EntrySize));
        return defaults with { MostLooks = Math.Clamp(2 * entries, LeastLooks, defaults.MostLooks) };
    }

    private void Add(ZpciGuestFunction function, uint handle)
    {
        int index = (int)(handle & ZpciHandle.IndexMask);
        var byIndex = new ZpciGuestFunction?[Math.Max(_byIndex.Length, index + 1)];
        _byIndex.CopyTo(byIndex, 0);
        byIndex[index] = function;
        function.Plugged(handle);
        Publish(byIndex);
    }

    private uint FreeId(string what, string kind, uint? wanted, uint first, Func<ZpciGuestFunction, uint> idOf)
    {
        HashSet<uint> used = [.. _functions.Select(idOf)];
        if (wanted is { } id)
        {
            return used.Contains(id) ? throw new VfioException(Errno.EINVAL, what, $"{kind} 0x{id:x} is in use; give another one") : id;
        }

        while (used.Contains(first))
        {
            first++;
        }

        return first;
    }

    /// <summary>Decides who serves the guest's loads and stores, and with that the handle.</summary>
    private uint HandleOf(string what, ZpciDeviceSide device, ZpciFunctionOptions options)
    {
        KvmZdev? tie = options.Interpret && device.Info is not null
            ? Machine.Zpci.All.FirstOrDefault(t => t.IsInterpreted && t.Device.Name == device.Name)
            : null;
        if (tie is null)
        {
            return FreeIndex(what) | (device.Info is null ? ZpciHandle.EmulatedDevice : ZpciHandle.InterceptedDevice);
        }

        uint host = device.HostHandle() ?? throw new VfioException(Errno.EPERM, what, "the device does not say its handle on the host");
        int index = (int)(host & ZpciHandle.IndexMask);
        if (index < _byIndex.Length && _byIndex[index] is not null)
        {
            throw new VfioException(Errno.EINVAL, what, $"the host's index 0x{index:x} is in use in the guest");
        }

        device.Tie = tie;
        return host & ~ZpciHandle.Enabled;
    }

    private uint FreeIndex(string what)
    {
        for (int tries = 0; tries < ZpciLimits.MaximumFunctions; tries++)
        {
            int index = _nextIndex;
            _nextIndex = (_nextIndex + 1) % ZpciLimits.MaximumFunctions;
            if (index >= _byIndex.Length || _byIndex[index] is null)
            {
                return (uint)index;
            }
        }

        throw new VfioException(Errno.ENOSPC, what, "no index is free");
    }

    private void JoinLimit(ZpciDeviceSide device, VfioContainer? container)
    {
        // Devices that are not the platform's own are not limited, and neither are address spaces without a limit.
        if (device.Info is null || container is null || !container.CheckExtension(VfioIommuType.Type1V2))
        {
            return;
        }

        if (!_limits.TryGetValue(container, out ZpciDmaLimit? limit))
        {
            _limits.Add(container, limit = new ZpciDmaLimit(container.AvailableMappings));
        }

        limit.Users++;
    }

    private void LeaveLimit(ZpciGuestFunction function)
    {
        if (function.Device.Info is not null && function.Options.Container is { } container && _limits.TryGetValue(container, out ZpciDmaLimit? limit)
            && --limit.Users == 0)
        {
            _limits.Remove(container);
        }
    }

    private void SetWindow(ZpciGuestFunction function, ZpciDeviceSide device, VfioContainer? container)
    {
        if (device.Info is not { } info)
        {
            return;
        }

        function.StartDma = info.Base.StartDma;
        function.EndDma = info.Base.EndDma;

        // With tables only, more addresses than there can be mappings would be of no use.
        if (!device.HasRelaxedTranslation && container is not null && _limits.TryGetValue(container, out ZpciDmaLimit? limit))
        {
            UInt128 last = info.Base.StartDma + ((UInt128)Math.Max(limit.Initial, 1) * ZpciIoTable.PageSize) - 1;
            function.EndDma = (ulong)UInt128.Min(last, info.Base.EndDma);
        }
    }
}
