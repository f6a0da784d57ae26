using System.CommandLine;
using Penstock.Cli;
using Penstock.Cli.Bench;
using Penstock.Cli.Demo;
using Penstock.Cli.Devices;
using Penstock.Cli.Replay;
using Penstock.Cli.Serve;
using Penstock.Devices;

DeviceCatalog catalog = DeviceCatalog.BuiltIn;
var root = new RootCommand("Penstock: device assignment (VFIO) for .NET. Serves PCI devices written in C# to unmodified VMs.");
root.Subcommands.Add(DemoCommand.Create(catalog));
root.Subcommands.Add(ServeCommand.Create(catalog));
root.Subcommands.Add(DevicesCommand.Create(catalog));
root.Subcommands.Add(BenchCommand.Create());
root.Subcommands.Add(ReplayCommand.Create());
return await CommandLine.RunAsync(root, args);
