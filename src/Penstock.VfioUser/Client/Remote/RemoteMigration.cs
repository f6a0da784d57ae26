using Penstock.Interop;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.VfioUser;

/// <summary>
/// The migration of a device whose states a server keeps. What begins and ends on the way is known here too, so that files of data behave as those
/// of any device.
/// </summary>
internal sealed class RemoteMigration
{
    private readonly Lock _gate = new();
    private readonly VfioUserClient _client;
    private readonly string _name;
    private readonly MigrationFlags _flags;
    private MigrationDataFile? _file;
    private volatile MigrationState _state = MigrationState.Running;
    private volatile bool _restartsAllowed;

    private RemoteMigration(string name, VfioUserClient client, MigrationFlags flags)
    {
        _name = name;
        _client = client;
        _flags = flags;
        Operations = new MigrationOperations
        {
            Flags = flags,
            GetState = client.GetMigrationState,
            SetState = SetState,
            GetDataSize = GetDataSize,
            AllowRestarts = () => _restartsAllowed = true,
        };
    }

    public MigrationOperations Operations { get; }

    /// <summary>Asks whether the device migrates.</summary>
    /// <returns>Its migration; null when it does not.</returns>
    /// <exception cref="VfioException">The server does not answer, or its answer cannot be.</exception>
    public static RemoteMigration? Create(string name, VfioUserClient client)
    {
        try
        {
            MigrationFlags flags = client.GetMigrationFlags() & MigrationFlags.All;
            return (flags & MigrationFlags.StopCopy) != 0 ? new RemoteMigration(name, client, flags) : null;
        }
        catch (VfioException none) when (none.Errno is Errno.ENOTTY or Errno.EINVAL or Errno.EOPNOTSUPP)
        {
            return null;
        }
    }

    /// <summary>The device was reset or closed: it runs, and files are dead.</summary>
    public void End()
    {
        lock (_gate)
        {
            _state = MigrationState.Running;
            EndFile();
        }
    }

    private MigrationDataFile? SetState(MigrationState target)
    {
        lock (_gate)
        {
            MigrationState from = _client.GetMigrationState();
            try
            {
                _client.SetMigrationState(target);
            }
            catch (VfioException)
            {
                Stay(from);
                throw;
            }

            _state = target;
            return Follow(from, target);
        }
    }

    /// <summary>What has begun and ended on the way that the device has gone.</summary>
    private MigrationDataFile? Follow(MigrationState from, MigrationState target)
    {
        MigrationDataFile? begun = null;
        for (MigrationState at = from; at != target;)
        {
            if (!MigrationStateMachine.TryNext(at, target, _flags, out MigrationState next))
            {
                break;
            }

            bool goesOn = MigrationStateMachine.IsSaving(at) && MigrationStateMachine.IsSaving(next);
            if (!goesOn)
            {
                EndFile();
                begun = next == MigrationState.Resuming ? new MigrationDataFile(_name, new RemoteTarget(_client))
                    : MigrationStateMachine.IsSaving(next) ? new MigrationDataFile(_name, new RemoteSource(_client, () => _state), () => _state, () => _restartsAllowed)
                    : null;
                _file = begun;
            }
            else
            {
                begun = null;
            }

            at = next;
        }

        return begun;
    }

    /// <summary>The device has not come to where it should: a file that belongs to where it was is dead if it is not there any more.</summary>
    private void Stay(MigrationState from)
    {
        try
        {
            _state = _client.GetMigrationState();
        }
        catch (VfioException)
        {
            _state = MigrationState.Error;
        }

        if (_state != from)
        {
            EndFile();
        }
    }

    private void EndFile()
    {
        _file?.End();
        _file = null;
    }

    private ulong GetDataSize()
    {
        try
        {
            return _client.GetMigrationDataSize();
        }
        catch (VfioException none) when (none.Errno is Errno.ENOTTY or Errno.EINVAL or Errno.EOPNOTSUPP)
        {
            // A server may have the states and not this.
            return 0;
        }
    }
}
