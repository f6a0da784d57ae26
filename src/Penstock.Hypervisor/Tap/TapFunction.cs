using Penstock.S390;
using Penstock.Specs.Zpci;

namespace Penstock.Hypervisor;

/// <summary>
/// The one function that a tap follows: its handle, its tables, and who answers its RPCIT. All of it on the tap's thread, but for what is only read.
/// </summary>
internal sealed class TapFunction(TapSessionOptions options, TapChannel channel, int index)
{
    private const uint Unknown = 0;

    /// <summary>What a region third table reaches; QEMU grants less. A guest may change its FIB between the plugin's look and QEMU's.</summary>
    private const ulong LargestAperture = 1ul << 42;

    private readonly TapRecorder? _recorder = options.Recorder;
    private RpcitPath _wish = options.Path;
    private volatile RpcitPath _path;
    private volatile bool _hasAnchor;
    private IoatRegistration _registration;
    private ulong _last;
    private uint _handle = Unknown;
    private bool _leaving;
    private int? _telling;
    private bool _givenUp;
    private long _asked;
    private long _left;
    private long _refused;
    private long _lent;
    private long _takenBack;

    /// <summary>Who answers now. Any thread.</summary>
    public RpcitPath Path => _path;

    /// <summary>Whether the guest has registered tables. Any thread.</summary>
    public bool HasAnchor => _hasAnchor;

    /// <summary>The guest's tables, or null. The tap's thread.</summary>
    public IoatRegistration? Registration => _hasAnchor ? _registration : null;

    /// <summary>Whether a range from 0 ends behind the tables. Any thread.</summary>
    public bool IsBeyondTables(ulong end) => end > Volatile.Read(ref _last);

    /// <summary>What was done. Any thread.</summary>
    public TapCounters Counters => new(
        Volatile.Read(ref _asked), channel.RingAnswers(index), Volatile.Read(ref _left), Volatile.Read(ref _refused), Volatile.Read(ref _lent), Volatile.Read(ref _takenBack));

    public TapAnswer Handle(int processor, in TapCall call, ReadOnlySpan<byte> data)
    {
        switch (call.Kind)
        {
            case TapCallKind.ClpDone:
                _recorder?.Clp(call, data);
                OnClp(call, data);
                return TapAnswer.GoOn;
            case TapCallKind.MpcifcDone when IsOurs(call.Handle):
                _recorder?.Mpcifc(call, data);
                OnMpcifc(call, data);
                return TapAnswer.GoOn;
            case TapCallKind.RpcitDone when IsOurs(call.Handle):
                _recorder?.Done(processor, call);
                OnRpcitDone(call);
                return TapAnswer.GoOn;
            case TapCallKind.Store or TapCallKind.BlockStore when IsOurs(call.Handle):
                options.Interrupts?.Store(call);
                return TapAnswer.GoOn;
            case TapCallKind.RpcitAsked when IsOurs(call.Handle):
                return OnRpcit(processor, call);
            default:
                return TapAnswer.GoOn;
        }
    }

    public void SwitchTo(RpcitPath path)
    {
        _wish = path;
        if (_givenUp || !_hasAnchor)
        {
            return;
        }

        if (_path == RpcitPath.Fallback)
        {
            if (path != RpcitPath.Fallback)
            {
                Lend();
            }
        }
        else if (_path != path)
        {
            // Also from one fast path to the other: between them the device follows QEMU's messages, which have to be right by then.
            _leaving = true;
            Publish(TapFunctionMode.Ask);
        }
        else if (_leaving)
        {
            _leaving = false;
            _telling = null;
            PublishPath();
        }
    }

    public void AnchorLost()
    {
        _hasAnchor = false;
        options.Interrupts?.SetTables(false);
        TakeBack();
    }

    /// <summary>
    /// The plugin does not wait for this side any more: QEMU tells the device's user every page from now on. The mode stays as it is: the plugin refuses
    /// until the guest refreshes everything, and a function that goes through would never be refused.
    /// </summary>
    public void GivenUp()
    {
        if (!_givenUp)
        {
            options.Log?.Invoke("the plugin has given this process up; QEMU answers RPCIT from now on");
            End();
        }
    }

    /// <summary>This side leaves, and the plugin does what it does when it has given up.</summary>
    public void End()
    {
        _givenUp = true;
        _hasAnchor = false;
        options.Interrupts?.End();
        TakeBackTarget();
    }

    private bool IsOurs(uint handle) => _handle != Unknown && handle == (_handle | ZpciHandle.Enabled);

    private void OnClp(in TapCall call, ReadOnlySpan<byte> data)
    {
        int request = (int)Math.Min(call.Start, (ulong)data.Length);
        ReadOnlySpan<byte> response = data[request..];
        if (request < ZpciClpHeader.Length || response.Length < ZpciClpHeader.Length || call.ConditionCode != (uint)ZpciConditionCode.Done
            || ZpciClpHeader.Read(response).Code != (ushort)ZpciClpResponse.Ok)
        {
            return;
        }

        switch ((ZpciClpCommand)ZpciClpHeader.Read(data).Code)
        {
            case ZpciClpCommand.ListPci:
                FindIn(response);
                break;
            case ZpciClpCommand.SetFunction when request >= ZpciClpSetRequest.Length && response.Length >= ZpciClpSetResponse.Length:
                OnSet(ZpciClpSetRequest.Read(data), ZpciClpSetResponse.Read(response).Handle);
                break;
            default:
                break;
        }
    }

    private void FindIn(ReadOnlySpan<byte> response)
    {
        for (int at = ZpciClpListResponse.Length; response.Length - at >= ZpciClpListEntry.Length; at += ZpciClpListEntry.Length)
        {
            ZpciClpListEntry entry = ZpciClpListEntry.Read(response[at..]);
            if (entry.FunctionId == options.FunctionId && entry.Handle != Unknown)
            {
                SetHandle(entry.Handle);
            }
        }
    }

    private void OnSet(in ZpciClpSetRequest request, uint handle)
    {
        if (_handle == Unknown || (request.Handle | ZpciHandle.Enabled) != (_handle | ZpciHandle.Enabled))
        {
            return;
        }

        if (request.Operation == ZpciSetOperation.Disable)
        {
            AnchorLost();
        }

        // Disabled now, or was before: either way its registrations are gone.
        options.Interrupts?.Deregister();
        SetHandle(handle);
    }

    private void SetHandle(uint handle)
    {
        if ((handle | ZpciHandle.Enabled) != (_handle | ZpciHandle.Enabled))
        {
            AnchorLost();
            options.Interrupts?.Follow(channel, handle | ZpciHandle.Enabled);
        }

        _handle = handle;
    }

    private void OnMpcifc(in TapCall call, ReadOnlySpan<byte> data)
    {
        if (call.ConditionCode != (uint)ZpciConditionCode.Done || data.Length < ZpciFib.Length)
        {
            return;
        }

        ZpciModifyOperation operation = new ZpciRegister(call.R1).Operation;
        options.Interrupts?.Modified(operation, ZpciFib.Read(data));
        if (operation is ZpciModifyOperation.DeregisterIoat or ZpciModifyOperation.ReregisterIoat or ZpciModifyOperation.RegisterIoat)
        {
            AnchorLost();
        }

        if (operation is ZpciModifyOperation.RegisterIoat or ZpciModifyOperation.ReregisterIoat)
        {
            ZpciFib fib = ZpciFib.Read(data);
            DmaAperture aperture = DmaAperture.Of(fib);
            if (aperture.IsEmpty || aperture.Last - aperture.First >= LargestAperture)
            {
                options.Log?.Invoke($"RPCIT stays with QEMU: the guest's I/O addresses 0x{aperture.First:x} to 0x{aperture.Last:x} are none, or too many");
                return;
            }

            _registration = new IoatRegistration(new Iota(fib.Iota), aperture);
            Volatile.Write(ref _last, _registration.Aperture.Last);
            _hasAnchor = true;
            options.Interrupts?.SetTables(true);
            if (_wish != RpcitPath.Fallback && !_givenUp)
            {
                Lend();
            }
        }
    }

    private TapAnswer OnRpcit(int processor, in TapCall call)
    {
        if (_path == RpcitPath.Fallback || options.Target is not { } target)
        {
            return Leave(processor, call);
        }

        // Also when it is refused: what it names is out of use when the guest goes on.
        RpcitAnswer done = target.Refresh(call.Start, call.Length);
        if (_leaving)
        {
            return OnRpcitWhileLeaving(processor, call);
        }

        if (done.Event != ZpciErrorEvent.None)
        {
            return Leave(processor, call);
        }

        uint code = (uint)done.ConditionCode;
        ulong r1 = code == 0 ? call.R1 : WithStatus(call.R1, done.Status);
        Interlocked.Increment(ref _asked);
        _recorder?.Rpcit(call, _registration, code, r1);
        return TapAnswer.Is(code, r1);
    }

    /// <summary>Linux answers a refused page with a refresh of everything, at which QEMU tells all pages; until QEMU has, the device follows the tables.</summary>
    private TapAnswer OnRpcitWhileLeaving(int processor, in TapCall call)
    {
        if (_telling is not null)
        {
            if (_telling == processor)
            {
                // It is past the refresh of everything: an interrupt came between that and its result.
                Left();
            }

            return Leave(processor, call);
        }

        if (IsWhole(call))
        {
            _telling = processor;
            Leave(processor, call);
            return TapAnswer.GoOnAndTell;
        }

        ulong r1 = WithStatus(call.R1, ZpciStatus.InsufficientResources);
        Interlocked.Increment(ref _refused);
        _recorder?.Rpcit(call, _registration, (uint)ZpciConditionCode.Error, r1);
        return TapAnswer.Is((uint)ZpciConditionCode.Error, r1);
    }

    private void OnRpcitDone(in TapCall call)
    {
        if (_leaving && IsWhole(call))
        {
            Left();
        }
    }

    /// <summary>QEMU has told every page.</summary>
    private void Left()
    {
        TakeBack();
        if (_wish != RpcitPath.Fallback)
        {
            Lend();
        }
    }

    private TapAnswer Leave(int processor, in TapCall call)
    {
        Interlocked.Increment(ref _left);
        _recorder?.Begun(processor, call, _registration);
        return _recorder is null ? TapAnswer.GoOn : TapAnswer.GoOnAndTell;
    }

    /// <summary>Takes RPCIT over before it looks at the tables, so that no change of them is missed.</summary>
    private void Lend()
    {
        if (options.Target is not { } target)
        {
            return;
        }

        _path = _wish;
        Publish(TapFunctionMode.Ask);
        if (target.Lend(_wish, _registration, channel) is string why)
        {
            options.Log?.Invoke($"RPCIT stays with QEMU: {why}");
            _path = RpcitPath.Fallback;
            Publish(TapFunctionMode.Through);
            return;
        }

        Interlocked.Increment(ref _lent);
        PublishPath();
    }

    private void PublishPath() => Publish(_path == RpcitPath.Nested ? TapFunctionMode.Ring : TapFunctionMode.Ask);

    private void TakeBack()
    {
        Publish(TapFunctionMode.Through);
        TakeBackTarget();
    }

    private void TakeBackTarget()
    {
        _leaving = false;
        _telling = null;
        if (_path != RpcitPath.Fallback)
        {
            _path = RpcitPath.Fallback;
            options.Target?.TakeBack();
            Interlocked.Increment(ref _takenBack);
        }
    }

    private bool IsWhole(in TapCall call)
    {
        DmaAperture aperture = _registration.Aperture;
        return call.Length != 0 && call.Start <= aperture.First && call.Length - 1 >= aperture.Last - call.Start;
    }

    private void Publish(TapFunctionMode mode) => channel.SetFunction(index, _handle | ZpciHandle.Enabled, mode, _registration, options.RamSize);

    private static ulong WithStatus(ulong r1, ZpciStatus status) => (new ZpciRegister(r1) with { Status = status }).Value;
}
