using Penstock.Interop;
using Penstock.Vfio;

namespace Penstock.Pci;

public partial class VfioPciCoreDevice
{
    private bool _isResetting;

    /// <summary>Whether users may reset the device; the function's own reset makes it so.</summary>
    protected virtual bool CanReset => true;

    /// <inheritdoc/>
    protected override void Open()
    {
        using (_strand.EnterRegisterCall())
        {
            if (!ResetFunction(PciResetKind.Bus))
            {
                throw new VfioException(Errno.EIO, $"open of {Name}", "the function's reset failed; the log names the reason");
            }

            EnablePlatform();
            _bypassRefused = false;
            _config.Reset();
            ApplyCommand();
        }
    }

    /// <inheritdoc/>
    protected override void Close()
    {
        using (_strand.EnterRegisterCall())
        {
            try
            {
                _config.ClearBusMaster();
                ApplyCommand();
                StopInterrupts();
                EndDoorbells();
                _config.Reset();
                DisablePlatform();
                ResetFunction(PciResetKind.Close);
                Replace(ref _error, null);
                Replace(ref _request, null);
            }
            finally
            {
                // Whatever failed, nothing of this user reaches the next.
                _port.Dma.Logging.Stop!();
                _migration?.Close();
                LeaveLowPower();
            }
        }
    }

    /// <summary>
    /// What a platform does when a function becomes a user's: after its reset, before its configuration space is set up and its BARs are
    /// used, since it may switch the function off and on. Called on the strand.
    /// </summary>
    /// <exception cref="VfioException">The open fails with this error.</exception>
    protected virtual void EnablePlatform()
    {
    }

    /// <summary>
    /// Takes <see cref="EnablePlatform"/> back: interrupts, regions and configuration space are gone, the function's reset is still to come.
    /// Called on the strand.
    /// </summary>
    protected virtual void DisablePlatform()
    {
    }

    /// <inheritdoc/>
    protected override void Reset()
    {
        if (!CanReset)
        {
            throw new VfioException(Errno.EINVAL, $"reset of {Name}", "the device has no reset");
        }

        using (_strand.EnterRegisterCall())
        {
            if (!ResetFunction(PciResetKind.Bus))
            {
                throw new VfioException(Errno.EIO, $"reset of {Name}", "the function's reset failed; the log names the reason");
            }
        }
    }

    /// <summary>
    /// The function resets and its outputs are low. Configuration space and what users set up for interrupts stay: the host restores
    /// its registers and writes its messages again.
    /// </summary>
    private bool ResetFunction(PciResetKind kind)
    {
        _port.Dma.CancelTransfers();
        _isResetting = true;
        Volatile.Write(ref _resets, _resets + 1);
        _config.ResetRestored();
        ApplyCommand();
        bool done = true;
        try
        {
            _function.Reset(kind);

            // Once more, for what began before the model was told.
            _port.Dma.CancelTransfers();
        }
        catch (Exception e)
        {
            done = false;
            Log($"reset ({kind}) failed in the model: {e.GetType().Name}: {e.Message}");
        }

        SetIntx(false);
        RestoreInterrupts();
        if (!_fallsAsleep)
        {
            _migration?.Reset();
        }

        _isResetting = false;
        ApplyMemory();
        return done;
    }

    private void Log(string line) => _log?.Invoke($"{Name}: {line}");
}
