using Penstock.Interop;
using Penstock.Specs.Vfio;

namespace Penstock.Vfio.Tests.Mediated;

/// <summary>Random lives of mediated devices on many threads; afterwards every count is exact and nothing is left.</summary>
public sealed class MdevStressTests
{
    private const int Threads = 8;
    private const int StepsPerThread = 3000;
    private const int Parents = 3;
    private const int Uuids = 16;
    private const int Instances = 5;

    [Fact]
    [Trait("Row", "O5")]
    public async Task RandomLives_ManyThreads_CountsAreExactAndNothingIsLeft()
    {
        using var stress = new Stress();
        await Task.WhenAll(Enumerable.Range(0, Threads).Select(t => Task.Factory.StartNew(
            () => stress.Run(t), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default)));
        stress.CheckEnd();
    }

    private sealed class Stress : IDisposable
    {
        private static readonly Errno[] Expected =
        [
            Errno.EEXIST, Errno.EUSERS, Errno.ENODEV, Errno.ENOSPC, Errno.EAGAIN, Errno.ENOENT, Errno.EBUSY, Errno.EINVAL,
        ];

        private readonly VfioHost _host = new();
        private readonly FakeMdevDriver[] _drivers = [.. Enumerable.Range(0, Parents).Select(_ => new FakeMdevDriver(Instances))];
        private readonly MdevType[] _types = [.. Enumerable.Range(0, Parents).Select(i => new MdevType($"type{i}"))];
        private readonly Guid[] _uuids = [.. Enumerable.Range(1, Uuids).Select(i => new Guid(i, 0, 0, new byte[8]))];
        private readonly int[] _done = new int[6];
        private int _registered;
        private int _unregistered;

        internal Stress()
        {
            _host.Uevent += e => Interlocked.Increment(ref e.Value == "registered" ? ref _registered : ref _unregistered);
            for (int i = 0; i < Parents; i++)
            {
                _host.RegisterMdevParent($"parent{i}", _drivers[i], _types[i]);
            }
        }

        public void Dispose() => _host.Dispose();

        internal void Run(int seed)
        {
            var random = new Random(seed);
            for (int step = 0; step < StepsPerThread; step++)
            {
                int parent = random.Next(Parents);
                Guid uuid = _uuids[random.Next(Uuids)];
                MdevDevice? mdev = _host.MdevDevices.FirstOrDefault(d => d.Uuid == uuid);
                try
                {
                    switch (random.Next(100))
                    {
                        case < 40:
                            _drivers[parent].ProbeError = random.Next(20) == 0 ? Errno.ENOSPC : Errno.None;
                            Count(0, () => _types[parent].Create(uuid));
                            break;
                        case < 65 when mdev is not null:
                            Count(1, mdev.Remove);
                            break;
                        case < 80 when mdev is not null:
                            Count(2, () => OpenAndClose(mdev, random));
                            break;
                        case < 90 when mdev is not null:
                            Count(5, () => BindAndClose(mdev, random));
                            break;
                        case < 96 when mdev is not null:
                            mdev.Hold();
                            Thread.Yield();
                            mdev.Release();
                            Count(3, static () => { });
                            break;
                        case > 98:
                            Count(4, () => _types[parent].Parent.Unregister());
                            _host.RegisterMdevParent($"parent{parent}", _drivers[parent], _types[parent]);
                            break;
                    }
                }
                catch (VfioException e) when (Expected.Contains(e.Errno))
                {
                    // Somebody else was faster.
                }

                Assert.InRange(_types[parent].AvailableInstances, 0, Instances);
            }
        }

        internal void CheckEnd()
        {
            Assert.All(_done, d => Assert.True(d > 0, $"one kind of step never succeeded: {string.Join(", ", _done)}"));
            Assert.All(_types, t => Assert.Equal(Instances - t.Devices.Count, t.AvailableInstances));
            Assert.All(_host.MdevDevices, d => Assert.True(d.IsActive));
            Assert.Equal(_host.MdevDevices.Count, _host.Devices.Count);
            Assert.Equal(_host.MdevDevices.Count, _host.Groups.Count);
            foreach (MdevParent parent in _host.MdevParents)
            {
                parent.Unregister();
            }

            Assert.All(_types, t => Assert.Equal(Instances, t.AvailableInstances));
            Assert.All(_drivers, d => Assert.Equal((d.Probes, d.Opens), (d.Removes, d.Closes)));
            Assert.Equal(_registered, _unregistered);
            Assert.Empty(_host.MdevDevices);
            Assert.Empty(_host.Devices);
            Assert.Empty(_host.Groups);
            Assert.Equal("nothing", _host.Ledger.ToString());
        }

        private void Count(int kind, Action step)
        {
            step();
            Interlocked.Increment(ref _done[kind]);
        }

        private void BindAndClose(MdevDevice mdev, Random random)
        {
            using VfioCdevFile file = _host.OpenCdev(mdev.Name, Rig.User);
            using IommufdContext context = _host.OpenIommufd(Rig.User);
            file.Bind(context);
            for (int i = random.Next(4); i > 0; i--)
            {
                file.Attach(context.AllocateIoas().Id);
            }
        }

        private void OpenAndClose(MdevDevice mdev, Random random)
        {
            int group = mdev.Device?.Group?.Number ?? throw new VfioException(Errno.ENODEV, "opening", "it has gone");
            using VfioGroup file = _host.OpenGroup(group, Rig.User);
            using VfioContainer container = _host.OpenContainer(Rig.User);
            file.SetContainer(container);
            container.SetIommu(VfioIommuType.Type1V2);
            using VfioDeviceFile device = file.OpenDevice(mdev.Name);
            for (int i = random.Next(4); i > 0; i--)
            {
                Thread.Yield();
            }
        }
    }
}
