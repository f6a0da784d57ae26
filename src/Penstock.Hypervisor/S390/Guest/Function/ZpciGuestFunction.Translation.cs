using Penstock.Interop;
using Penstock.S390;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.Hypervisor;

/// <content>The guest's I/O tables.</content>
public sealed partial class ZpciGuestFunction
{
    private const ulong PageMask = ZpciIoTable.PageSize - 1;

    private IRefreshMode? _mode;
    private ZpciIdentity? _identity;
    private IoatRegistration? _registration;

    /// <summary>Whether the guest has registered an anchor.</summary>
    public bool HasTranslation
    {
        get
        {
            lock (_gate)
            {
                return _registration is not null;
            }
        }
    }

    /// <summary>What serves the guest's refreshes; null when the function is gone.</summary>
    public IRefreshMode? Mode
    {
        get
        {
            lock (_gate)
            {
                return _mode;
            }
        }
    }

    /// <summary>Chooses what serves the guest's refreshes, as long as it has registered no tables. The one before is disposed.</summary>
    /// <param name="mode">The mode; the function becomes its owner, unless this fails.</param>
    /// <exception cref="VfioException">EBUSY: tables are registered; ENODEV: the function is gone.</exception>
    public void SetMode(IRefreshMode mode)
    {
        ArgumentNullException.ThrowIfNull(mode);
        string what = $"letting {mode.Name} serve function 0x{FunctionId:x}";
        lock (_gate)
        {
            if (_registration is not null || State == ZpciFunctionState.Reserved)
            {
                throw _registration is not null
                    ? new VfioException(Errno.EBUSY, what, "the guest has registered its tables; do it before, or after it has taken them back")
                    : new VfioException(Errno.ENODEV, what, "the function is gone");
            }

            _mode?.Dispose();
            _mode = mode;
        }
    }

    /// <summary>RPCIT; the bus has looked at the registers.</summary>
    internal ZpciResult Refresh(ZpciRegister register, ulong start, ulong length)
    {
        lock (_gate)
        {
            if (Handle != register.Handle)
            {
                return ZpciResult.InvalidHandle(register.Value);
            }

            switch (State)
            {
                case ZpciFunctionState.Reserved or ZpciFunctionState.Standby or ZpciFunctionState.Disabled or ZpciFunctionState.PermanentError:
                    return ZpciResult.InvalidHandle(register.Value);
                case ZpciFunctionState.Error:
                    return ZpciResult.Failed(register.Value, ZpciStatus.ErrorRecovery);
            }

            // One place for all modes: without tables and outside of the window there is nothing to walk.
            if (_registration is not { } registration || !registration.Iota.IsTranslating)
            {
                return Failed(register.Value, ZpciErrorEvent.InvalidAddressSpace, start);
            }

            ZpciErrorEvent outside = registration.Aperture.Clamp(start, length, out _, out _);
            RpcitAnswer answer = outside == ZpciErrorEvent.None ? _mode!.Refresh(start, length) : RpcitAnswer.Failed(outside, start);
            if (answer.Event != ZpciErrorEvent.None)
            {
                return Failed(register.Value, answer.Event, answer.Address);
            }

            _measurement.CountRefresh();
            return answer.ConditionCode == ZpciConditionCode.Error
                ? ZpciResult.Failed(register.Value, answer.Status)
                : new ZpciResult(answer.ConditionCode, register.Value, ZpciProgramException.None);
        }
    }

    private ZpciResult RegisterIoat(ZpciRegister register, in ZpciFib fib)
    {
        if (register.Space != 0)
        {
            return ZpciResult.Failed(register.Value, ZpciStatus.DmaSpaceInvalid);
        }

        return _registration is null ? StartTranslation(register.Value, fib) : ZpciResult.Failed(register.Value, ZpciStatus.SequenceError);
    }

    private ZpciResult DeregisterIoat(ZpciRegister register)
    {
        if (register.Space != 0)
        {
            return ZpciResult.Failed(register.Value, ZpciStatus.DmaSpaceInvalid);
        }

        if (_registration is null)
        {
            return ZpciResult.Failed(register.Value, ZpciStatus.SequenceError);
        }

        ReleaseTranslation();
        return ZpciResult.Done(register.Value);
    }

    private ZpciResult ReregisterIoat(ZpciRegister register, in ZpciFib fib)
    {
        ZpciResult gone = DeregisterIoat(register);
        return gone.ConditionCode == ZpciConditionCode.Done ? StartTranslation(register.Value, fib) : gone;
    }

    private ZpciResult StartTranslation(ulong register, in ZpciFib fib)
    {
        var registration = new IoatRegistration(new Iota(fib.Iota), DmaAperture.Of(fib));
        DmaAperture aperture = registration.Aperture;
        bool isPossible = registration.Iota.IsTranslating
            ? ZpciDtsm.Allows(Group.DesignationTypes, registration.Iota.DesignationType)
            : _device.HasRelaxedTranslation;
        if (aperture.IsEmpty || !new DmaAperture(StartDma, EndDma).Contains(aperture) || !isPossible)
        {
            return ZpciResult.Interrupted(register, ZpciProgramException.Operand);
        }

        try
        {
            Errno errno = Errno.None;
            if (registration.Iota.IsTranslating)
            {
                errno = _mode?.Register(registration) ?? Errno.ENODEV;
            }
            else
            {
                _identity = new ZpciIdentity(_bus.Machine.Memory, _bus.NotifierOf(this), StartDma, aperture.Last);
            }

            if (errno != Errno.None)
            {
                _bus.Log($"function 0x{FunctionId:x} gets no translation: {errno}");
                return ZpciResult.Failed(register, ZpciStatus.InsufficientResources);
            }
        }
        catch (VfioException e)
        {
            _bus.Log($"function 0x{FunctionId:x} gets no translation: {e.Message}");
            return ZpciResult.Failed(register, ZpciStatus.InsufficientResources);
        }

        _registration = registration;
        return ZpciResult.Done(register);
    }

    private void ReleaseTranslation()
    {
        if (_registration is { } registration)
        {
            _registration = null;
            _identity?.Dispose();
            _identity = null;
            if (registration.Iota.IsTranslating)
            {
                _mode!.Deregister();
            }
        }
    }

    private void EndTranslation()
    {
        ReleaseTranslation();
        _mode?.Dispose();
        _mode = null;
    }

    private ZpciResult Failed(ulong register, ZpciErrorEvent error, ulong address)
    {
        Fail(error, address);
        return ZpciResult.Failed(register, ZpciStatus.FunctionInError);
    }
}
