using System.Diagnostics;
using Penstock.Interop;
using Penstock.Specs.Nvme;
using Penstock.Specs.Pci;
using Penstock.Vfio;

namespace Penstock.Drivers;

/// <content>The controller's states: enabled, disabled, shut down, failed, set up again.</content>
public sealed unsafe partial class NvmeDriver
{
    private const uint Bar = NvmePci.RegistersBar;
    private const uint Gone = uint.MaxValue;
    private static readonly TimeSpan TimeoutUnit = TimeSpan.FromMilliseconds(500);
    private static readonly TimeSpan ShortestShutdown = TimeSpan.FromSeconds(5);

    private readonly ManualResetEventSlim _running = new(initialState: true);
    private string? _failure;
    private long _resets;

    /// <summary>What is wrong with the controller; null while it works.</summary>
    public string? Failure => Volatile.Read(ref _failure);

    /// <summary>How often the controller was set up again since the driver began.</summary>
    public long Resets => Interlocked.Read(ref _resets);

    /// <summary>
    /// Resets the controller and sets it up again. Commands that are under way end with a <see cref="VfioException"/> (ECANCELED), whether or not
    /// the controller has carried them out; <see cref="NvmeQueue"/>s are of no use afterwards.
    /// </summary>
    /// <exception cref="VfioException">It does not come back: ETIMEDOUT, EIO, or the device's own errors.</exception>
    /// <exception cref="NvmeException">It refused a command of the set-up.</exception>
    public void Reset()
    {
        lock (_control)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            _running.Reset();
            StopAll(new VfioException(Errno.ECANCELED, $"a command of {Name}", "the controller was reset"));
            foreach (NvmeQueue queue in _queues)
            {
                queue.Lose();
            }

            try
            {
                _admin.Empty();
                Array.ForEach(_channels, static c => c.Empty());

                // Whoever reset the device may have switched this off too.
                _device.SetCommand(PciCommand.Memory | PciCommand.BusMaster | PciCommand.InterruptDisable);
                Enable();
                SetQueueCount(Wanted);
                CreateQueues();

                // Not before: a command that comes earlier would be announced to a queue that is not there yet.
                Array.ForEach(_channels, static c => c.Restart());
                Interlocked.Increment(ref _resets);
                Volatile.Write(ref _failure, null);
            }
            catch (Exception e) when (e is VfioException or NvmeException)
            {
                Volatile.Write(ref _failure, e.Message);
                StopAll(new VfioException(Errno.EIO, $"a command of {Name}", $"the controller could not be set up again: {e.Message}"));
                throw;
            }
            finally
            {
                _running.Set();
            }
        }
    }

    /// <summary>Something went wrong that a command's status does not say. Does not wait; whoever waits for a command is let go.</summary>
    internal void Fail(string why)
    {
        if (Interlocked.CompareExchange(ref _failure, why, null) is not null)
        {
            return;
        }

        bool recovers = _options.RecoversByItself && !Volatile.Read(ref _disposed);
        if (recovers)
        {
            _running.Reset();
        }

        _options.Log?.Invoke($"{Name}: {why}");
        StopAll(new VfioException(Errno.EIO, $"a command of {Name}", recovers ? $"{why}; the controller is being reset" : $"{why}; reset the controller"));
        if (recovers)
        {
            new Thread(Recover) { IsBackground = true, Name = $"nvme {Name} recovery" }.Start();
        }
    }

    /// <summary>Asked now and then by who waits: a controller that somebody else has reset answers nothing.</summary>
    internal void LookWhileWaiting(long since)
    {
        long last = Interlocked.Read(ref _looked);
        long now = Stopwatch.GetTimestamp();
        if (Stopwatch.GetElapsedTime(since, now) >= WatchInterval && Stopwatch.GetElapsedTime(last, now) >= WatchInterval
            && Interlocked.CompareExchange(ref _looked, now, last) == last)
        {
            Look();
        }
    }

    /// <summary>Looks whether the controller still works as it was set up, unless somebody is setting it up or taking it down now.</summary>
    private void Look()
    {
        if (!_control.TryEnter())
        {
            return;
        }

        try
        {
            if (!_disposed)
            {
                LookAtStatus();
            }
        }
        finally
        {
            _control.Exit();
        }
    }

    private void LookAtStatus()
    {
        uint value;
        try
        {
            value = _device.Read32(Bar, NvmeRegisters.Status);
        }
        catch (VfioException e)
        {
            Fail(e.Message);
            return;
        }

        var status = new NvmeControllerStatus(value);
        if (value == Gone)
        {
            Fail("the device is gone");
        }
        else if (status.Fatal)
        {
            Fail("the controller says that it failed (CSTS.CFS)");
        }
        else if (!status.Ready)
        {
            Fail("the controller was reset by somebody else");
        }
    }

    private void Recover()
    {
        try
        {
            Reset();
            _options.Log?.Invoke($"{Name}: set up again");
        }
        catch (Exception e)
        {
            _running.Set();
            _options.Log?.Invoke($"{Name}: could not be set up again: {e.Message}");
        }
    }

    /// <summary>A call that comes while the controller is being set up waits for that.</summary>
    private void WaitUntilRunning()
    {
        if (!_running.IsSet)
        {
            _running.Wait(_options.CommandTimeout);
        }
    }

    private void StopAll(VfioException why)
    {
        _admin.Stop(why);
        Array.ForEach(_channels, c => c.Stop(why));
    }

    private NvmeCapabilities ReadCapabilities()
    {
        var capabilities = new NvmeCapabilities(_device.Read64(Bar, NvmeRegisters.Capabilities));
        string? missing = capabilities.Value == ulong.MaxValue ? "it does not answer; it may be gone, or in a low power state"
            : !capabilities.NvmCommandSet ? "it has no NVM command set"
            : capabilities.MinimumPageShift != 0 ? $"its smallest page has {Page << capabilities.MinimumPageShift} bytes, and this driver uses 4096"
            : capabilities.MaxQueueEntries < NvmeLimits.MinimumQueueEntries ? "its queues have one entry, of which none can be used"
            : null;
        return missing is null ? capabilities : throw new VfioException(Errno.ENODEV, $"driving {Name}", missing);
    }

    /// <summary>Disables the controller if need be, gives it the admin queue, and enables it.</summary>
    private void Enable()
    {
        Disable();
        _admin.Restart();
        _doorbells.UseShadow(null);
        _device.Write32(Bar, NvmeRegisters.AdminQueueAttributes, new NvmeAdminQueueAttributes { SubmissionEntries = AdminEntries, CompletionEntries = AdminEntries }.Value);
        _device.Write64(Bar, NvmeRegisters.AdminSubmissionQueue, _admin.Ring.SubmissionIova);
        _device.Write64(Bar, NvmeRegisters.AdminCompletionQueue, _admin.Ring.CompletionIova);
        _device.Write32(Bar, NvmeRegisters.Configuration, new NvmeConfiguration
        {
            Enabled = true,
            SubmissionEntryShift = NvmeCommand.LengthShift,
            CompletionEntryShift = NvmeCompletion.LengthShift,
        }.Value);
        WaitForStatus("become ready", ReadyTime, static s => s.Ready || s.Fatal);
        if (new NvmeControllerStatus(_device.Read32(Bar, NvmeRegisters.Status)).Fatal)
        {
            throw new VfioException(Errno.EIO, $"enabling {Name}", "the controller failed (CSTS.CFS)");
        }
    }

    /// <summary>What the controller asks for, as far as that makes sense.</summary>
    private TimeSpan ShutdownTime => TimeSpan.FromTicks(Math.Max(
        ShortestShutdown.Ticks, Math.Min(Controller.ShutdownTime.Ticks, _options.CommandTimeout.Ticks)));

    private TimeSpan ReadyTime => TimeoutUnit * Math.Max(2, _capabilities.Timeout);

    /// <summary>The end: shut down, where that is wanted and the controller still answers, and disabled.</summary>
    private void End(bool orderly)
    {
        try
        {
            var configuration = new NvmeConfiguration(_device.Read32(Bar, NvmeRegisters.Configuration));
            var status = new NvmeControllerStatus(_device.Read32(Bar, NvmeRegisters.Status));
            if (orderly && configuration.Enabled && status is { Ready: true, Fatal: false })
            {
                _device.Write32(Bar, NvmeRegisters.Configuration, (configuration with { Shutdown = NvmeShutdown.Normal }).Value);
                WaitForStatus("shut down", ShutdownTime, static s => s.ShutdownStatus == NvmeShutdownStatus.Complete || s.Fatal);
            }
        }
        catch (VfioException e)
        {
            _options.Log?.Invoke($"{Name}: {e.Message}");
        }

        try
        {
            Disable();
        }
        catch (VfioException e)
        {
            // There is nobody to tell. Its memory is unmapped in a moment, and closing the device resets it.
            _options.Log?.Invoke($"{Name}: {e.Message}");
        }
    }

    /// <summary>Disables the controller, so that it touches no memory any more.</summary>
    private void Disable()
    {
        var configuration = new NvmeConfiguration(_device.Read32(Bar, NvmeRegisters.Configuration));
        if (configuration.Enabled)
        {
            _device.Write32(Bar, NvmeRegisters.Configuration, (configuration with { Enabled = false, Shutdown = NvmeShutdown.None }).Value);
        }

        WaitForStatus("be disabled", ReadyTime, static s => !s.Ready);
    }

    private void WaitForStatus(string what, TimeSpan time, Predicate<NvmeControllerStatus> reached)
    {
        long start = Stopwatch.GetTimestamp();
        var spinner = new SpinWait();
        while (true)
        {
            uint value = _device.Read32(Bar, NvmeRegisters.Status);
            if (value == Gone)
            {
                throw new VfioException(Errno.ENODEV, $"waiting for {Name} to {what}", "the device is gone");
            }

            if (reached(new NvmeControllerStatus(value)))
            {
                return;
            }

            if (Stopwatch.GetElapsedTime(start) > time)
            {
                throw new VfioException(Errno.ETIMEDOUT, $"waiting for {Name} to {what}", $"it has not in {time.TotalSeconds} s (CSTS 0x{value:x})");
            }

            spinner.SpinOnce();
        }
    }
}
