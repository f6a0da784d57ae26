using Penstock.Interop;
using Penstock.Specs.Vfio;

namespace Penstock.Vfio;

/// <summary>
/// The migration of one device: its state, the hops between states, and the files of data. All members may be called from any thread.
/// A reset never waits for a change of state in progress: the files die at once, the rest is done when that ends.
/// </summary>
public sealed class VfioMigration
{
    // Protects the session and the two flags below; only who holds the state begins and forgets a session, or sets the first flag.
    private readonly object _gate = new();
    private readonly IMigratableDevice _device;
    private readonly string _name;
    private readonly Action<string>? _log;
    private DeviceActivity _activity = DeviceActivity.Running;
    private MigrationSession? _session;
    private MigrationSource? _source;
    private MigrationTarget? _target;
    private volatile MigrationState _state = MigrationState.Running;
    private volatile bool _restartsAllowed;
    private bool _held;
    private bool _resetWaits;

    /// <summary>Creates the migration of a running device.</summary>
    /// <param name="name">Name of the device, for errors.</param>
    /// <param name="device">What the device does.</param>
    /// <param name="log">Receives a line when a step back fails too.</param>
    public VfioMigration(string name, IMigratableDevice device, Action<string>? log = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        ArgumentNullException.ThrowIfNull(device);
        _name = name;
        _device = device;
        _log = LogSink.Contain(log);
        Operations = new MigrationOperations
        {
            Flags = device.Flags,
            SetState = SetState,
            GetState = () => State,
            GetDataSize = () => _device.EstimatedSize,
            AllowRestarts = () => _restartsAllowed = true,
        };
    }

    /// <summary>What the core is given.</summary>
    public MigrationOperations Operations { get; }

    /// <summary>The state as of now.</summary>
    public MigrationState State => _state;

    /// <summary>Moves the device to a state, hop by hop. Asking for the state that it has does nothing.</summary>
    /// <param name="target">The state.</param>
    /// <returns>The file that the last hop began; null when none began. The caller disposes it.</returns>
    /// <exception cref="VfioException">
    /// EINVAL: there is no way; the device's own errors. The device is then in the state that it has reached, or in ERROR.
    /// </exception>
    public MigrationDataFile? SetState(MigrationState target)
    {
        lock (_gate)
        {
            while (_held)
            {
                Monitor.Wait(_gate);
            }

            _held = true;
        }

        try
        {
            return MoveTo(target);
        }
        finally
        {
            Leave();
        }
    }

    /// <summary>
    /// The device has been reset: it runs, and the files are dead. While a change of state is in progress only the files die at once, so
    /// that what they brought is not put into the reset device; the rest is done at the end of the change. Call it on the device's
    /// strand, where a load looks whether it is still wanted.
    /// </summary>
    public void Reset()
    {
        lock (_gate)
        {
            _resetWaits = true;
            _session?.End();
            if (_held)
            {
                // Never wait here: a device that resets may hold what the change of state waits for.
                return;
            }

            _held = true;
        }

        Leave();
    }

    /// <summary>The last user closed the device: as a reset, and the next user starts without what this one agreed to.</summary>
    public void Close()
    {
        _restartsAllowed = false;
        Reset();
    }

    private static bool TakesData(MigrationState state) => state == MigrationState.Resuming;

    private MigrationDataFile? MoveTo(MigrationState target)
    {
        MigrationDataFile? begun = null;
        MigrationFlags flags = _device.Flags;
        if (!MigrationStateMachine.IsSupported(target, flags))
        {
            throw Refused(Errno.EINVAL, target, "the device has no such state");
        }

        while (_state != target)
        {
            if (!MigrationStateMachine.TryNext(_state, target, flags, out MigrationState next))
            {
                throw Refused(Errno.EINVAL, target, _state == MigrationState.Error ? "only a reset leads out of ERROR" : "no way leads there");
            }

            try
            {
                begun = Hop(_state, next);
            }
            catch (VfioException)
            {
                throw;
            }
            catch (Exception e)
            {
                throw Refused(Errno.EIO, target, $"the device failed: {e.GetType().Name}: {e.Message}");
            }

            _state = next;
        }

        return begun;
    }

    private MigrationDataFile? Hop(MigrationState from, MigrationState to)
    {
        if (TakesData(from))
        {
            FinishLoading();
        }

        DeviceActivity before = _activity;
        try
        {
            SetActivity(MigrationStateMachine.ActivityIn(to));
            if (TakesData(to))
            {
                _target = _device.Load();
                return Begin(new MigrationDataFile(_name, _target));
            }

            if (!MigrationStateMachine.IsSaving(to))
            {
                EndSession();
            }
            else if (!MigrationStateMachine.IsSaving(from))
            {
                _source = _device.Save(stopped: to == MigrationState.StopCopy);
                return Begin(new MigrationDataFile(_name, _source, () => _state, () => _restartsAllowed));
            }
            else if (to == MigrationState.StopCopy)
            {
                _session!.Serially(_source!.DeviceStopped);
            }

            return null;
        }
        catch
        {
            StepBack(before);
            throw;
        }
    }

    private void FinishLoading()
    {
        MigrationTarget target = _target!;
        try
        {
            _session!.Serially(target.Finish);
        }
        catch
        {
            // What was written cannot be taken back or completed.
            _state = MigrationState.Error;
            throw;
        }
        finally
        {
            EndSession();
        }
    }

    private void SetActivity(DeviceActivity activity)
    {
        if (activity != _activity)
        {
            _device.SetActivity(activity);
            _activity = activity;
        }
    }

    private void StepBack(DeviceActivity before)
    {
        try
        {
            // Also when the step forward has failed: nobody knows how far it got.
            _device.SetActivity(before);
            _activity = before;
        }
        catch (Exception e)
        {
            _log?.Invoke($"{_name}: after a failed change of migration state the device cannot go back either: {e.Message}");
            _state = MigrationState.Error;
            EndSession();
        }
    }

    private MigrationDataFile Begin(MigrationDataFile file)
    {
        lock (_gate)
        {
            _session = file.Session;
        }

        return file;
    }

    private void EndSession()
    {
        lock (_gate)
        {
            _session?.End();
            _session = null;
        }

        _source = null;
        _target = null;
    }

    /// <summary>Does the resets that came meanwhile and gives the state free.</summary>
    private void Leave()
    {
        while (true)
        {
            lock (_gate)
            {
                if (!_resetWaits)
                {
                    _held = false;
                    Monitor.Pulse(_gate);
                    return;
                }

                _resetWaits = false;
            }

            FinishReset();
        }
    }

    private void FinishReset()
    {
        EndSession();
        _state = MigrationState.Running;
        try
        {
            // Also when it counts as running: the last change may have failed half way.
            _activity = DeviceActivity.Running;
            _device.SetActivity(DeviceActivity.Running);
        }
        catch (Exception e)
        {
            _log?.Invoke($"{_name}: the device was reset and does not run: {e.Message}");
            _state = MigrationState.Error;
        }
    }

    private VfioException Refused(Errno errno, MigrationState target, string why) =>
        new(errno, $"migration state {target} of {_name}, now {_state}", why);
}
