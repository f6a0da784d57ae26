using Penstock.Interop;
using Penstock.S390;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.Hypervisor;

/// <summary>
/// Lends a group of devices to the guest's own tables: by a shadow of them, or by walking them. What the group's user maps meanwhile goes on into his own
/// domain, unseen. For one thread, but for <see cref="Lose"/> and what is only read.
/// </summary>
internal sealed class GroupTables : ITapTarget, IDisposable
{
    private IommuGroup? _group;
    private GuestMemory? _memory;
    private VfioHost? _host;

    // Held while the group is switched.
    private readonly Lock _switching = new();
    private GroupLending? _lending;
    private int _losses;
    private ZpciDomain? _shadowTables;
    private volatile INestedTranslation? _mode;
    private long _walksBefore;

    /// <summary>Accesses of the device that had to walk the guest's tables, so far. Any thread.</summary>
    public long Walks => Volatile.Read(ref _walksBefore) + ((_mode as WalkedRefresh)?.Walks ?? 0);

    /// <summary>Pages of the guest that are pinned for the device now. Any thread.</summary>
    public long PinnedPages => _mode?.PinnedPages ?? 0;

    /// <summary>Says whose tables lead where.</summary>
    public void Join(VfioHost host, IommuGroup group, GuestMemory memory)
    {
        _host = host;
        _group = group;
        _memory = memory;
    }

    public string? Lend(RpcitPath path, IoatRegistration registration, TapChannel channel)
    {
        TakeBack();
        string? why;
        try
        {
            INestedTranslation mode = Create(path, channel);
            _mode = mode;
            why = Fill(mode, registration) ?? LendTo(mode);
            if (why is null)
            {
                return null;
            }
        }
        catch (VfioException refused)
        {
            why = refused.Message;
        }

        TakeBack();
        return why;
    }

    public void TakeBack()
    {
        lock (_switching)
        {
            // Also when its user has gone: the lending has ended then.
            _lending?.TakeBack();
            _lending = null;
        }

        if (_mode is { } mode)
        {
            Volatile.Write(ref _walksBefore, Walks);
            _mode = null;
            mode.Dispose();
        }

        _shadowTables?.Dispose();
        _shadowTables = null;
    }

    public void Lose()
    {
        lock (_switching)
        {
            _losses++;
            _lending?.TakeBack();
        }
    }

    public void EndLoss()
    {
        lock (_switching)
        {
            _losses--;
        }
    }

    public RpcitAnswer Refresh(ulong start, ulong length) => _mode?.Refresh(start, length) ?? RpcitAnswer.Failed(ZpciErrorEvent.InvalidAddressSpace, start);

    public void DrainRing(uint from, uint until) => (_mode as WalkedRefresh)?.DrainOuter(from, until);

    public void Dispose() => TakeBack();

    /// <summary>The guest's memory is this process's own, shared rather than locked.</summary>
    private INestedTranslation Create(RpcitPath path, TapChannel channel)
    {
        var payer = new LockedPages(_host!, Caller.ForPeer(CurrentProcess.UserId, Environment.ProcessId));
        if (path == RpcitPath.Nested)
        {
            return new WalkedRefresh(_memory!, payer, channel);
        }

        _shadowTables = new ZpciDomain(new ZpciDomainSetup { Ledger = _host!.Ledger });
        return new ShadowRefresh(_memory!, payer, _shadowTables);
    }

    private string? LendTo(INestedTranslation mode)
    {
        lock (_switching)
        {
            if (_losses != 0)
            {
                return "QEMU has removed the device's address space meanwhile";
            }

            _lending = _group!.Lend(mode.Domain);
            return null;
        }
    }

    /// <summary>A guest may have mapped pages already: they are all there when the group is lent.</summary>
    private static string? Fill(INestedTranslation mode, IoatRegistration registration)
    {
        Errno errno = mode.Register(registration);
        if (errno != Errno.None)
        {
            return $"its tables cannot be followed: {errno}";
        }

        DmaAperture aperture = registration.Aperture;
        RpcitAnswer answer = mode.Refresh(aperture.First, aperture.Last - aperture.First + 1);
        return answer == RpcitAnswer.Done ? null : $"what they hold now cannot be taken over: {(answer.Event != ZpciErrorEvent.None ? answer.Event.ToString() : answer.Status.ToString())}";
    }
}
