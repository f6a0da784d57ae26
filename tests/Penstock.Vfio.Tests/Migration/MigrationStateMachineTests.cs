using Penstock.Specs.Vfio;

namespace Penstock.Vfio.Tests;

/// <summary>The table against what it is said to follow from: direct arcs, and no session begun or ended on the way.</summary>
public sealed class MigrationStateMachineTests
{
    private static readonly MigrationState[] Pre = [MigrationState.PreCopy, MigrationState.PreCopyP2P];

    public static TheoryData<MigrationFlags> FlagSets =>
    [
        MigrationFlags.StopCopy,
        MigrationFlags.StopCopy | MigrationFlags.P2P,
        MigrationFlags.StopCopy | MigrationFlags.PreCopy,
        MigrationFlags.All,
    ];

    [Theory]
    [Trait("Row", "M1")]
    [MemberData(nameof(FlagSets))]
    public void Hops_EveryPair_AreTheShortestAllowedWay(MigrationFlags flags)
    {
        for (uint from = 0; from < 9; from++)
        {
            for (uint to = 0; to < 9; to++)
            {
                List<MigrationState>? expected = Derive((MigrationState)from, (MigrationState)to, flags);
                Assert.Equal(expected, Walk((MigrationState)from, (MigrationState)to, flags));
            }
        }
    }

    [Theory]
    [Trait("Row", "M1")]
    [MemberData(nameof(FlagSets))]
    public void SetState_EveryPair_GoesThatWayAndNoOther(MigrationFlags flags)
    {
        MigrationState[] all = Enum.GetValues<MigrationState>();
        foreach (MigrationState from in all)
        {
            foreach (MigrationState to in all)
            {
                if (Derive(MigrationState.Running, from, flags) is null)
                {
                    continue;
                }

                var script = new ScriptedMigration(flags);
                using MovableRig rig = MovableRig.With(script);
                Assert.Equal(Interop.Errno.None, rig.File.SetState(from, out _));
                script.Activities.Clear();
                List<MigrationState>? way = Derive(from, to, flags);
                Assert.Equal(way is null ? Interop.Errno.EINVAL : Interop.Errno.None, rig.File.SetState(to, out _));
                Assert.Equal(way is null ? from : to, rig.File.GetState());
                List<DeviceActivity> activities = [];
                DeviceActivity last = ActivityOf(from);
                foreach (MigrationState hop in way ?? [])
                {
                    if (ActivityOf(hop) != last)
                    {
                        last = ActivityOf(hop);
                        activities.Add(last);
                    }
                }

                Assert.Equal(activities, script.Activities);
            }
        }
    }

    private static DeviceActivity ActivityOf(MigrationState state) => state switch
    {
        MigrationState.Running or MigrationState.PreCopy => DeviceActivity.Running,
        MigrationState.RunningP2P or MigrationState.PreCopyP2P => DeviceActivity.Responding,
        _ => DeviceActivity.Stopped,
    };

    private static List<MigrationState>? Walk(MigrationState from, MigrationState to, MigrationFlags flags)
    {
        var way = new List<MigrationState>();
        for (MigrationState at = from; ; at = way[^1])
        {
            if (!MigrationStateMachine.TryNext(at, to, flags, out MigrationState hop))
            {
                return null;
            }

            if (at == to)
            {
                Assert.Equal(to, hop);
                return way;
            }

            way.Add(hop);
            Assert.True(way.Count < 8, $"{from} to {to} with {flags} goes round in circles");
        }
    }

    private static List<MigrationState>? Derive(MigrationState from, MigrationState to, MigrationFlags flags)
    {
        List<(MigrationState From, MigrationState To)> arcs = Arcs(flags);
        bool Has(MigrationState state) => arcs.Exists(a => a.From == state);
        if (!Has(from) || !Has(to))
        {
            return null;
        }

        // What has been saved cannot be unsaved: from STOP_COPY back to PRE_COPY there is no way at all.
        if (from == MigrationState.StopCopy && Pre.Contains(to))
        {
            return null;
        }

        bool inside = Saves(from) && Saves(to);
        var ways = new Queue<List<MigrationState>>();
        ways.Enqueue([from]);
        while (ways.TryDequeue(out List<MigrationState>? way))
        {
            if (way[^1] == to)
            {
                return way[1..];
            }

            bool onTheWay = way.Count > 1;
            if (onTheWay && (way[^1] == MigrationState.Resuming || (Saves(way[^1]) && !inside)))
            {
                continue;
            }

            foreach ((_, MigrationState next) in arcs.Where(a => a.From == way[^1] && !way.Contains(a.To)))
            {
                if (!inside || Saves(next))
                {
                    ways.Enqueue([.. way, next]);
                }
            }
        }

        return null;
    }

    private static bool Saves(MigrationState state) => state == MigrationState.StopCopy || Pre.Contains(state);

    private static List<(MigrationState From, MigrationState To)> Arcs(MigrationFlags flags)
    {
        var arcs = new List<(MigrationState, MigrationState)>();
        void Both(MigrationState a, MigrationState b)
        {
            arcs.Add((a, b));
            arcs.Add((b, a));
        }

        bool p2p = (flags & MigrationFlags.P2P) != 0;
        Both(MigrationState.Resuming, MigrationState.Stop);
        Both(MigrationState.Stop, MigrationState.StopCopy);
        if (p2p)
        {
            Both(MigrationState.Running, MigrationState.RunningP2P);
            Both(MigrationState.RunningP2P, MigrationState.Stop);
        }
        else
        {
            Both(MigrationState.Running, MigrationState.Stop);
        }

        if ((flags & MigrationFlags.PreCopy) != 0)
        {
            Both(MigrationState.Running, MigrationState.PreCopy);
            if (p2p)
            {
                Both(MigrationState.PreCopy, MigrationState.PreCopyP2P);
                Both(MigrationState.RunningP2P, MigrationState.PreCopyP2P);
                arcs.Add((MigrationState.PreCopyP2P, MigrationState.StopCopy));
            }
            else
            {
                arcs.Add((MigrationState.PreCopy, MigrationState.StopCopy));
            }
        }

        return arcs;
    }
}
