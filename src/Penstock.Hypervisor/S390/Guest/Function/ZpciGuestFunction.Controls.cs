using Penstock.Specs.Zpci;

namespace Penstock.Hypervisor;

/// <content>What the guest sets and asks with function information blocks.</content>
public sealed partial class ZpciGuestFunction
{
    /// <summary>What a guest that names the function without its enable bit gets in the register.</summary>
    private const ulong EnabledInRegister = (ulong)ZpciHandle.Enabled << 32;

    /// <summary>MPCIFC; the bus has looked at handle, state and block.</summary>
    internal ZpciResult Modify(ZpciRegister register, in ZpciFib fib)
    {
        lock (_gate)
        {
            // Once more, since another processor may have been faster.
            if (State is ZpciFunctionState.Reserved or ZpciFunctionState.Standby or ZpciFunctionState.Disabled or ZpciFunctionState.PermanentError
                || Handle != register.Handle)
            {
                return ZpciResult.InvalidHandle(register.Value);
            }

            return register.Operation switch
            {
                ZpciModifyOperation.RegisterInterrupts => RegisterInterrupts(register.Value, fib),
                ZpciModifyOperation.DeregisterInterrupts => DeregisterInterrupts(register.Value),
                ZpciModifyOperation.RegisterIoat => RegisterIoat(register, fib),
                ZpciModifyOperation.DeregisterIoat => DeregisterIoat(register),
                ZpciModifyOperation.ReregisterIoat => ReregisterIoat(register, fib),
                ZpciModifyOperation.ResetError => ResetError(register.Value),
                ZpciModifyOperation.ResetBlock => Moved(register.Value, TryMove(ZpciFunctionState.Error, ZpciFunctionState.Blocked)),
                ZpciModifyOperation.SetMeasurement => SetMeasurement(register.Value, fib.Measurement),
                _ => ZpciResult.Interrupted(register.Value, ZpciProgramException.Operand),
            };
        }
    }

    /// <summary>STPCIFC, but for what the bus does.</summary>
    internal ZpciResult StoreControls(ZpciRegister register, out ZpciFib fib)
    {
        fib = default;
        lock (_gate)
        {
            ZpciFunctionControls controls;
            switch (State)
            {
                case ZpciFunctionState.Reserved or ZpciFunctionState.Standby:
                    return ZpciResult.InvalidHandle(register.Value);
                case ZpciFunctionState.Disabled:
                    return (register.Handle & ZpciHandle.Enabled) != 0
                        ? ZpciResult.InvalidHandle(register.Value)
                        : ZpciResult.Done(register.Value);
                case ZpciFunctionState.PermanentError:
                    return ZpciResult.Failed(register.Value, ZpciStatus.PermanentError);
                case ZpciFunctionState.Blocked:
                    controls = ZpciFunctionControls.Enabled | ZpciFunctionControls.Error;
                    break;
                case ZpciFunctionState.Error:
                    controls = ZpciFunctionControls.Enabled | ZpciFunctionControls.Error | ZpciFunctionControls.Blocked;
                    break;
                default:
                    controls = ZpciFunctionControls.Enabled;
                    break;
            }

            fib = new ZpciFib
            {
                Controls = _registration is null ? controls : controls | ZpciFunctionControls.DmaRegistered,
                FirstAddress = _registration?.Aperture.First ?? 0,
                LastAddress = _registration?.Aperture.Last ?? 0,
                Iota = _registration?.Iota.Value ?? 0,
                InterruptWord = _interruptWord,
                VectorAddress = _vectorAddress,
                SummaryAddress = _summaryAddress,
                Measurement = _measurement.Address,
            };
            bool named = (register.Handle & ZpciHandle.Enabled) != 0;
            return ZpciResult.Done(named ? register.Value : register.Value | EnabledInRegister);
        }
    }

    private static ZpciResult Moved(ulong register, bool moved) =>
        moved ? ZpciResult.Done(register) : ZpciResult.Failed(register, ZpciStatus.SequenceError);

    private ZpciResult ResetError(ulong register) => Moved(
        register,
        TryMove(ZpciFunctionState.Error, ZpciFunctionState.Enabled) || TryMove(ZpciFunctionState.Blocked, ZpciFunctionState.Enabled));

    private ZpciResult SetMeasurement(ulong register, ulong address)
    {
        if ((address & ZpciFib.MeasurementKeyMask) != 0)
        {
            _measurement.Stop();
            Report(ZpciErrorEvent.MeasurementProtection, address);
            return new ZpciResult(ZpciConditionCode.Error, register, ZpciProgramException.None);
        }

        if (address == 0)
        {
            _measurement.Stop();
        }
        else
        {
            _measurement.Start(address, Group.MeasurementInterval);
        }

        return ZpciResult.Done(register);
    }
}
