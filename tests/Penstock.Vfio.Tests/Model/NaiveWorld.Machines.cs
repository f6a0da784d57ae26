using Penstock.Interop;

namespace Penstock.Vfio.Tests.Model;

/// <content>Files that machines keep open after their users closed them.</content>
internal sealed partial class NaiveWorld
{
    private readonly object?[] _held = new object?[Places.HeldFiles];

    /// <summary>Those that somebody has: their places say only what users have.</summary>
    private readonly List<NaiveCdev> _openCdevs = [];

    private Outcome? AddGroupToMachine(int place, int file, int machine)
    {
        if (_held[place] is not null || _groupFiles[file] is not { } found || _machines[machine] is not { } owner)
        {
            return null;
        }

        if (found.Holders == 0)
        {
            return Errno.EBADF;
        }

        found.Holders++;
        found.Machine = owner;
        _held[place] = found;
        return Errno.None;
    }

    private Outcome? AddCdevToMachine(int place, int file, int machine)
    {
        if (_held[place] is not null || _cdevs[file] is not { } found || _machines[machine] is not { } owner)
        {
            return null;
        }

        found.Holders++;
        found.Machine = owner;
        _held[place] = found;
        return Errno.None;
    }

    private Outcome? DelFromMachine(int place)
    {
        object? held = _held[place];
        _held[place] = null;
        switch (held)
        {
            case NaiveGroupFile group:
                group.Machine = null;
                LetGo(group);
                return Errno.None;
            case NaiveCdev cdev:
                cdev.Machine = null;
                LetGo(cdev);
                return Errno.None;
            default:
                return null;
        }
    }

    private void LetGo(NaiveGroupFile file)
    {
        if (--file.Holders == 0)
        {
            Unreference(file);
        }
    }
}
